from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dongfeng.errors import DongfengError, ManifestError, UnknownModel
from dongfeng.zoo import paths
from dongfeng.zoo.models import list_models, model_info

NAMES = [
    *("df1", "df2", "df2a"),
    *("dflite_seg", "dflite_seg_d8", "df1seg", "df1seg_d8"),
    *("df2seg1", "df2seg1_d8", "df2seg2", "df2seg2_d8"),
    *("pl1a_seg", "toytown_seg"),
]


def test_names_of_the_zoo() -> None:
    assert list_models() == NAMES


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("df1*", ["df1", "df1seg", "df1seg_d8"]),
        ("*_d8", ["dflite_seg_d8", "df1seg_d8", "df2seg1_d8", "df2seg2_d8"]),
        ("DF1-Seg", ["df1seg"]),
        ("df[1-2]", ["df1", "df2"]),
        ("df1seg_mergebn", []),
        ("nothing*", []),
    ],
)
def test_patterns(pattern: str, expected: list[str]) -> None:
    assert list_models(pattern) == expected


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("DF1", "df1"),
        ("DF1-Seg", "df1seg"),
        ("df1_seg", "df1seg"),
        ("DFlite-Seg-d8", "dflite_seg_d8"),
        ("df-lite_seg", "dflite_seg"),
        ("DF2-Seg1", "df2seg1"),
        ("PL1A-Seg", "pl1a_seg"),
        ("pl1a_new", "pl1a_seg"),
        ("df-lite_seg_mergebn", "dflite_seg"),
        ("df-lite_seg_mergebn_d8", "dflite_seg_d8"),
    ],
)
def test_spelling_does_not_matter(spelling: str, name: str) -> None:
    assert model_info(spelling) is model_info(name)
    assert model_info(name).name == name


@pytest.mark.parametrize("name", ["df1seg", "df2seg1", "df2seg2"])
@pytest.mark.parametrize("head", ["", "_d8"])
def test_mergebn_aliases_take_the_merged_file_and_architecture(name: str, head: str) -> None:
    plain, folded = model_info(name + head), model_info(f"{name}_mergebn{head}")
    assert (plain.folded, folded.folded) == (False, True)
    assert plain.weights[0].name == f"{name}.caffemodel"
    assert folded.weights[0].name == f"{name}_mergebn.caffemodel"
    assert folded.prototxt == f"{name}_mergebn.prototxt"
    assert folded.name == f"{name}_mergebn{head}"
    assert (folded.architecture, folded.head, folded.published) == (plain.architecture, plain.head, plain.published)


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("_d8")])
def test_d8_models_share_everything_but_head_and_results(name: str) -> None:
    d8, x8 = model_info(name), model_info(name.removesuffix("_d8"))
    assert (d8.head, x8.head) == ("d8", "x8")
    assert (d8.weights, d8.prototxt, d8.preprocessing, d8.size_hw) == (
        x8.weights,
        x8.prototxt,
        x8.preprocessing,
        x8.size_hw,
    )


def test_unknown_name_gets_three_suggestions() -> None:
    with pytest.raises(UnknownModel, match='no model is called "df1-sge"') as caught:
        model_info("df1-sge")
    assert str(caught.value).endswith("the closest names: df1seg, df1seg_d8, df1 (all: dongfeng models)")
    assert isinstance(caught.value, (KeyError, DongfengError))


@pytest.mark.parametrize("name", ["", "résumé", "*"])
def test_odd_names_are_unknown_too(name: str) -> None:
    with pytest.raises(UnknownModel, match="the closest names: "):
        model_info(name)


def test_looking_up_imports_nothing_heavy() -> None:
    program = (
        "import sys; from dongfeng.zoo import fetch, cache; from dongfeng.zoo.models import model_info; "
        "model_info('df1'); cache.list_cache(); "
        "print([name for name in ('cv2', 'onnx', 'onnxruntime', 'requests', 'gdown', 'rich') if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert found.stdout == "[]\n"


def test_cache_root_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DONGFENG_HOME", str(tmp_path))
    assert paths.cache_root() == tmp_path
    monkeypatch.setenv("DONGFENG_HOME", "~/x")
    assert paths.cache_root() == Path.home() / "x"
    monkeypatch.delenv("DONGFENG_HOME")
    assert paths.cache_root().name == "dongfeng"
    assert paths.weights_folder() == paths.cache_root() / "weights"
    assert paths.onnx_folder() == paths.cache_root() / "onnx"


def test_data_root_prefers_the_installed_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "_PACKAGE", tmp_path / "dongfeng")
    with pytest.raises(ManifestError, match="no such file; reinstall dongfeng"):
        paths.data_root()
    (tmp_path / paths.MANIFEST).write_text("{}")
    assert paths.data_root() == tmp_path
    (tmp_path / "dongfeng" / "data").mkdir(parents=True)
    (tmp_path / "dongfeng" / "data" / paths.MANIFEST).write_text("{}")
    assert paths.data_root() == tmp_path / "dongfeng" / "data"
