"""The web page and its plot: what is in them, that nothing is fetched or injected, and that names can be read."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dongfeng.benchmark.host import HostFacts
from dongfeng.benchmark.html_report import write_page
from dongfeng.benchmark.report import BenchReport, BenchRow, LayerRow, LeftOut, Noise, ProfileFacts, new_row
from dongfeng.benchmark.scatter import KnownLatency, Point, Series, panels_of
from dongfeng.benchmark.scatter_plot import scatter_plot
from dongfeng.errors import BackendUnavailable, DeviceError
from tests.benchmark.reports import combination

VOID = {"meta", "br", "link", "img"}
EVIL = '</td><script>alert("x")</script>&amp;$\\frac{1}{$ \x1b[31m'


def row(model: str, size_hw: tuple[int, int] = (384, 640), **more: Any) -> BenchRow:
    return replace(new_row(combination(model, size_hw, "TensorRT", "fp16"), "tx2"), **more)


PROFILE = ProfileFacts(
    name="tx2",
    device="Jetson TX2",
    runtime="TensorRT",
    runtime_version="3.0.4",
    precision="fp16",
    source="the paper",
    latency="sum",
)


def report(*rows: BenchRow, **more: Any) -> BenchReport:
    host = HostFacts(cpu="A CPU", memory_bytes=8_000_000_000, cpu_mhz=(1000.0, 2000.0))
    about = {"created": "2026-01-31T12:00:00Z", "host": host, "versions": {"dongfeng": "1.2.3"}, "profile": PROFILE}
    return BenchReport(**{"kind": "device", "rows": rows, **about, **more})


SOME = (
    row("df1seg", published_ms=14.0, predicted_ms=13.8, predicted_error_ms=0.4, is_fitted=True, measured_ms=14.9),
    row("df1seg_d8", published_ms=10.8),
    row("df2seg1", predicted_ms=22.8),
    row("df2seg2", published_ms=25.1, predicted_ms=25.0),
    row("df1seg", (736, 1280), published_ms=45.9),
)


class Page(HTMLParser):
    """Its elements, its text by element, and whether every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self.open[-1] if self.open else "", data.strip()))

    def cells(self) -> list[str]:
        return [text for tag, text in self.texts if tag == "td"]


def test_three_files_are_written(tmp_path: Path) -> None:
    files = write_page(report(*SOME), tmp_path / "report.html")
    assert [file.name for file in files] == ["report.html", "report.svg", "report.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.png", "report.svg"]
    assert ElementTree.parse(files[1]).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    height, width = cv2.imread(str(files[2])).shape[:2]
    assert width > height > 500


def test_the_page_holds_the_figures(tmp_path: Path) -> None:
    page = Page(write_page(report(*SOME), tmp_path / "a.html")[0].read_text(encoding="utf-8"))
    cells = page.cells()
    start = cells.index("df1seg")
    # 13.8 / 14 = 0.9857; 1000 / 14.9 = 67.11
    expected = [
        "df1seg",
        "384×640",
        "TensorRT",
        "fp16",
        "74.1",
        "14.00",
        "13.80 ± 0.40 (fitted)",
        "-1.4 %",
        "14.90",
        "67.1",
    ]
    assert cells[start : start + len(expected)] == expected
    for fact in ("A CPU", "8,000,000,000", "1000, 2000", "not known", "1.2.3", "3.0.4"):
        assert fact in cells
    assert ("h1", "Networks on Jetson TX2") in page.texts


def test_nothing_is_fetched(tmp_path: Path) -> None:
    text = write_page(report(*SOME), tmp_path / "a.html")[0].read_text(encoding="utf-8")
    page = Page(text)
    assert not {tag for tag, _ in page.tags} & {"script", "link", "img", "iframe", "object", "embed", "base", "image"}
    links = [attrs[key] for _, attrs in page.tags for key in ("href", "xlink:href", "src") if key in attrs]
    assert links
    assert all(link is not None and link.startswith("#") for link in links)
    assert "@import" not in text
    assert all(target.startswith("#") for target in re.findall(r"url\(\s*['\"]?(.)", text))
    policy = [attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_whatever_a_report_says_is_text(tmp_path: Path) -> None:
    evil_row = replace(SOME[0], **dict.fromkeys(("backend", "precision", "model", "device", "processor"), EVIL))
    layer = {**vars(evil_row.key), "device": EVIL, "layer": EVIL, "operation": EVIL, "basis": EVIL}
    evil = report(
        replace(evil_row, accuracy_split=EVIL),
        replace(evil_row, backend="other"),
        replace(SOME[0], accuracy_metric=EVIL),
        host=HostFacts(cpu=EVIL, governor=EVIL),
        versions={EVIL: EVIL},
        profile=replace(PROFILE, device=EVIL, runtime=EVIL),
        noise=Noise(is_noisy=True, others_fraction=None, stolen_fraction=None, reasons=(EVIL,)),
        notes=(EVIL,),
        created=EVIL,
        layers=(LayerRow(**{**layer, "ms": 1.0, "share_fraction": 1.0}),),
        left_out=(LeftOut(**vars(evil_row.key), reason=EVIL),),
    )
    files = write_page(evil, tmp_path / "<b>.html")
    page = Page(files[0].read_text(encoding="utf-8"))
    assert "script" not in {tag for tag, _ in page.tags}
    assert "b" not in {tag for tag, _ in page.tags}
    assert any(text == EVIL for text in page.cells())
    ElementTree.parse(files[1])


def test_what_has_no_latency_is_not_drawn() -> None:
    assert panels_of(report(row("df1seg"))) == []


def test_a_report_without_accuracies_still_has_its_tables(tmp_path: Path) -> None:
    unknown = row("resnet18", published_ms=4.4)
    page = Page(write_page(report(unknown), tmp_path / "a.html")[0].read_text(encoding="utf-8"))
    assert "resnet18" in page.cells()
    assert any(tag == "figcaption" and "want of a published accuracy: resnet18" in text for tag, text in page.texts)


def test_measured_goes_before_published_goes_before_predicted() -> None:
    (panel,) = panels_of(report(*SOME))
    assert panel.metric == "published mIoU on Cityscapes val (%)"
    small, large = panel.series
    assert (small.name, large.name) == ("384×640", "736×1280")
    assert {point.label: point.ms for point in small.points} == {
        "df1seg": 14.9,
        "df1seg_d8": 10.8,
        "df2seg1": 22.8,
        "df2seg2": 25.1,
    }
    assert [latency.origin for latency in small.points[0].latencies] == ["measured", "published", "predicted"]


def test_each_metric_has_a_panel_and_each_backend_a_series() -> None:
    classifier = row("df1", (224, 224), published_ms=2.5)
    rows = [replace(SOME[0], backend=name, precision=each) for name in ("a", "b") for each in ("fp32", "int8")]
    first, second = panels_of(report(*rows, classifier))
    assert [series.name for series in first.series] == [
        "384×640 a fp32",
        "384×640 a int8",
        "384×640 b fp32",
        "384×640 b int8",
    ]
    assert second.metric == "published top-1 accuracy on ImageNet val (%)"
    assert [series.name for series in second.series] == ["224×224"]


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=12))
def test_the_frontier_is_what_no_other_beats(found: list[tuple[int, int]]) -> None:
    points = tuple(Point(str(i), float(y), (KnownLatency("measured", float(x)),)) for i, (x, y) in enumerate(found))
    frontier = {(point.ms, point.accuracy_percent) for point in Series("", points).frontier}
    beaten = {(x, y) for x, y in found if any(a <= x and b >= y and (a, b) != (x, y) for a, b in found)}
    assert frontier == {(float(x), float(y)) for x, y in found} - beaten


def crowded() -> Iterator[BenchRow]:
    """All models at once, twice, the second time a little faster."""
    for factor, backend in ((1.0, "onnxruntime"), (0.9, "openvino")):
        for index, name in enumerate(
            ("dflite_seg_d8", "dflite_seg", "df1seg_d8", "df1seg", "df2seg1", "df2seg2", "pl1a_seg")
        ):
            yield row(name, (512, 1024), measured_ms=factor * (100 + 9 * index), backend=backend)


@pytest.mark.parametrize("rows", [SOME, tuple(crowded())], ids=["a device", "crowded"])
def test_no_name_hides_another_or_leaves_the_plot(rows: tuple[BenchRow, ...]) -> None:
    figure = scatter_plot(panels_of(report(*rows)), "Jetson TX2")
    for axis in figure.axes:
        boxes = {text.get_text(): text.get_window_extent() for text in axis.texts}
        assert set(boxes) == {entry.model for entry in rows}
        for one, other in combinations(axis.texts, 2):
            assert not one.get_window_extent().overlaps(other.get_window_extent())
        for text in axis.texts:
            box = text.get_window_extent()
            assert figure.bbox.x0 <= box.x0
            assert box.x1 <= figure.bbox.x1
        low, high = axis.get_xlim()
        assert len([tick for tick in axis.get_xticks() if low <= tick <= high]) >= 3
        assert "(ms" in axis.get_xlabel()
        assert "(%)" in axis.get_ylabel()


def test_the_origins_are_told_apart() -> None:
    figure = scatter_plot(panels_of(report(*SOME)), "Jetson TX2")
    (axis,) = figure.axes
    texts = [text.get_text() for legend in axis.artists for text in legend.get_texts()]  # type: ignore[attr-defined]
    assert texts == ["measured", "published", "predicted", "frontier at 384×640", "frontier at 736×1280"]
    markers = {line.get_marker() for line in axis.lines} - {"None", "|", "_"}
    assert len(markers) == 3
    for legend in axis.artists:  # nothing hides them
        box = legend.get_window_extent()
        assert box.y1 < axis.get_window_extent().y0
        assert box.y0 >= 0


def test_the_same_report_gives_the_same_files(tmp_path: Path) -> None:
    first, second = (write_page(report(*SOME), tmp_path / f"{name}.html") for name in "ab")
    assert first[1].read_bytes() == second[1].read_bytes()
    assert first[2].read_bytes() == second[2].read_bytes()


def test_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(BackendUnavailable, match=r'run: pip install "dongfeng\[plot\]"$'):
        write_page(report(*SOME), tmp_path / "a.html")
    assert list(tmp_path.iterdir()) == []


def test_a_report_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="this report holds no rows"):
        write_page(report(), tmp_path / "a.html")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.svg", "a.png", "a", "a.pdf"])
def test_another_suffix_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DeviceError, match=r"expected a name that ends in \.html"):
        write_page(report(*SOME), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_what_was_there_stays_when_writing_fails(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("old")
    (tmp_path / "a.png").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_page(report(*SOME), tmp_path / "a.html")
    assert (tmp_path / "a.html").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "a.png"]


def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        write_page(report(*SOME), tmp_path / "none/a.html")
