from __future__ import annotations

import copy
import csv
import dataclasses
import json
import math
import pickle
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dongfeng.errors import ManifestError
from dongfeng.zoo.manifest import ModelInfo, Published, canonical, manifest, read_manifest
from dongfeng.zoo.models import list_models, model_info
from dongfeng.zoo.paths import data_root

Damage = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def good() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((data_root() / "weights_manifest.json").read_text(encoding="utf-8"))
    return loaded


def test_every_released_weight_file_is_listed_under_its_name(shared: Path) -> None:
    released = {path.stem for path in (shared / "release" / "prototxt").iterdir()}
    files = manifest().files
    caffemodels = {name for name, file in files.items() if file.format == "caffemodel" and not file.shipped}
    assert {name.removesuffix(".caffemodel") for name in caffemodels} == released
    for name in released:
        (file,) = model_info(name).weights
        assert file.name == f"{name}.caffemodel"
        assert model_info(name).prototxt == f"{name}.prototxt"
        assert (file.size_bytes, file.sha256) == (None, None)
        assert re.fullmatch(r"https://drive\.google\.com/open\?id=[\w-]{33}", file.urls[0])
    assert len({file.urls for file in files.values()}) == len(files)


def test_pl1a_files_are_the_shared_ones(shared: Path) -> None:
    import hashlib

    for file in model_info("pl1a_seg").weights:
        body = (shared / "pl1a" / file.name).read_bytes()
        assert (file.size_bytes, file.sha256) == (len(body), hashlib.sha256(body).hexdigest())
        assert file.urls[0].endswith(f"/zym1119/Partial-Order-Pruning-Demo/master/app/src/main/assets/{file.name}")


@pytest.mark.parametrize("name", list_models())
def test_input_recipe(name: str) -> None:
    info = model_info(name)
    preprocessing = info.preprocessing
    if name == "pl1a_seg":
        expected: tuple[object, ...] = ((384, 640), (103.94, 116.78, 123.68), None, None, "Decoder_score", "x8")
    elif name == "toytown_seg":
        expected = ((256, 512), (72, 83, 73), None, None, "Decoder_score", "x8")
    elif info.task == "classification":
        expected = ((224, 224), (104, 117, 123), 256, (224, 224), "fc", None)
    else:
        expected = ((1024, 2048), (72, 83, 73), None, None, "Decoder_score", "d8" if name.endswith("_d8") else "x8")
    assert expected == (
        info.size_hw,
        preprocessing.mean_bgr,
        preprocessing.shorter_side,
        preprocessing.crop_hw,
        info.score_blob,
        info.head,
    )
    assert preprocessing.scale == 0.008
    assert info.classes == ("imagenet" if info.task == "classification" else "cityscapes")
    assert info.folded is (name.startswith(("dflite", "pl1a", "toytown")))


# --- published results, read from the tables they come from ---------------------------------------------------------


def rows(shared: Path, name: str) -> Iterator[dict[str, str]]:
    with (shared / "research" / name).open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def value(info: ModelInfo, metric: str, **where: object) -> float | None:
    found = info.result(metric, **where)
    return None if found is None else found.value


def number(text: str, scale: float = 1.0) -> float | None:
    return pytest.approx(float(text) * scale) if text else None


def test_imagenet_results(shared: Path) -> None:
    for row in rows(shared, "imagenet_val.csv"):
        info = model_info(row["model"])
        assert value(info, "top1", split="val", source="repository logs") == number(row["top1"])
        assert value(info, "top5", split="val") == number(row["top5"])


def test_backbone_results(shared: Path) -> None:
    for row in rows(shared, "readme_backbones_tx2.csv"):
        if not row["model"].startswith("DF"):
            continue
        info = model_info(row["model"])
        assert value(info, "top1", source="repository README") == number(row["imagenet_val_top1"], 0.01)
        assert value(info, "latency", device="Jetson TX2", size_hw=(224, 224), batch=1) == number(
            row["tx2_latency_ms_224_bs1"]
        )
        assert value(info, "gpu_memory", size_hw=(224, 224), batch=50) == number(row["gpu_mem_224_bs50"])
        assert value(info, "gpu_memory", size_hw=(1024, 1024), batch=1) == number(row["gpu_mem_1024_bs1"])
        unit = {"M": 1e6, "G": 1e9}[row["flops"][-1]]
        assert value(info, "flops") == number(row["flops"][:-1], unit)


def test_segmentation_results(shared: Path) -> None:
    for row in rows(shared, "readme_segmentation.csv"):
        info = model_info(row["model"])
        assert value(info, "miou", split="val") == number(row["miou_val"], 0.01)
        assert value(info, "miou", split="test") == number(row["miou_test"], 0.01)
        for column, device, size_hw in (
            ("fps_tx2_trt304_640x384", "Jetson TX2", (384, 640)),
            ("fps_1080ti_trt304_1024x2048", "GTX 1080 Ti", (1024, 2048)),
            ("fps_1080ti_trt304_1024x1024", "GTX 1080 Ti", (1024, 1024)),
            ("fps_titanx_caffe_1024x2048", "Titan X", (1024, 2048)),
        ):
            assert value(info, "fps", device=device, size_hw=size_hw) == number(row[column])


def test_results_per_class(shared: Path) -> None:
    metrics = {"iou": "miou", "niou": "mniou"}
    seen = 0
    for row in rows(shared, "cityscapes_val_iou.csv"):
        info = model_info(row["model"] + {"score": "_d8", "scoreup8": ""}[row["variant"]])
        group, _, is_mean = row["kind"].partition("_")
        for column, metric in metrics.items():
            found = info.result(metric, source="repository logs", group=group)
            assert found is not None
            expected = float(row[column])
            if math.isnan(expected):
                assert row["class"] not in found.per_class
                continue
            assert (found.value if is_mean else found.per_class[row["class"]]) == expected
            seen += 1
    assert seen == sum(
        1 + len(result.per_class)
        for name in list_models()
        for result in model_info(name).published
        if result.source == "repository logs" and result.metric in metrics.values()
    )


def test_pl1a_results() -> None:
    info = model_info("pl1a_seg")
    assert (value(info, "miou", split="val"), value(info, "miou", split="test")) == (0.687, 0.691)
    assert value(info, "fps", device="Snapdragon 845", size_hw=(384, 640)) == 52.0


# --- the dataclasses ------------------------------------------------------------------------------------------------


def test_entries_can_be_hashed_copied_pickled_and_written_as_json() -> None:
    info = model_info("df1seg")
    assert hash(info) == hash(copy.deepcopy(info))
    assert pickle.loads(pickle.dumps(info)) == info
    assert json.loads(json.dumps(dataclasses.asdict(info)))["published"][0]["value"] == 0.741


def test_fields_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        model_info("df1").name = "df2"  # type: ignore[misc]


def test_result_without_a_match_is_none() -> None:
    assert model_info("df1").result("miou") is None
    assert isinstance(model_info("df1").result("top1"), Published)


def test_manifest_is_read_once() -> None:
    assert manifest() is manifest()


# --- damage ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        pytest.param(lambda m: m.pop("files"), r'weights_manifest.json: key "files" is missing', id="no files"),
        pytest.param(lambda m: m.update(extra=1), r"weights_manifest.json: extra: unknown key", id="unknown top key"),
        pytest.param(lambda m: m.update(schema=2), r": schema: schema 2 is not 1", id="schema"),
        pytest.param(lambda m: m.update(schema=True), r": schema: expected a positive integer, got true", id="bool"),
        pytest.param(lambda m: m.update(models=[]), r": models: expected an object, got \[\]", id="models list"),
        pytest.param(
            lambda m: m["models"]["df1"].pop("scale"), r': models.df1: key "scale" is missing', id="missing key"
        ),
        pytest.param(
            lambda m: m["models"]["df1"].update(Scale=1), r": models.df1.Scale: unknown key", id="unknown key"
        ),
        pytest.param(
            lambda m: m["models"]["df1"].update(size_hw=[224, "x"]),
            r': models.df1.size_hw\[1\]: expected a positive integer, got "x"',
            id="size kind",
        ),
        pytest.param(
            lambda m: m["models"]["df1"].update(size_hw=[224]), r"size_hw: expected \[height, width\]", id="size length"
        ),
        pytest.param(
            lambda m: m["models"]["df1"].update(mean_bgr=[1, 2]), r"mean_bgr: expected 1 or 3 values, got 2", id="mean"
        ),
        pytest.param(lambda m: m["models"]["df1"].update(scale=10**400), r"scale: expected a number", id="huge"),
        pytest.param(
            lambda m: m["models"]["df1"].update(scale=float("inf")), r"scale: expected a number", id="infinite"
        ),
        pytest.param(
            lambda m: m["models"]["df1"].update(shorter_side=100), r"100 is smaller than the crop, 224x224", id="crop"
        ),
        pytest.param(
            lambda m: m["models"]["df1"].update(head="x4"), r'head: expected one of "x8", "d8", got "x4"', id="head"
        ),
        pytest.param(lambda m: m["models"]["df1"].update(task=3), r"df1.task: expected one of", id="task"),
        pytest.param(lambda m: m["models"]["df1"].update(merged=0), r"merged: expected true or false", id="merged"),
        pytest.param(lambda m: m["models"]["df1"].update(score_blob=""), r"score_blob: expected a text", id="text"),
        pytest.param(
            lambda m: m["models"]["df1"].update(weights=["no.bin"]),
            r'models.df1.weights\[0\]: "no.bin" is not listed under files',
            id="weights",
        ),
        pytest.param(
            lambda m: m["models"]["df1"].update(weights=[]), r"weights: expected at least one file", id="no weights"
        ),
        pytest.param(
            lambda m: m["models"]["df1"].update(prototxt="../df1.prototxt"),
            r"df1.prototxt: expected the name",
            id="path",
        ),
        pytest.param(lambda m: m["models"]["df1"]["aliases"].update(DF2={}), r'the name "df2" is taken', id="alias"),
        pytest.param(
            lambda m: m["models"]["df1"]["aliases"].update(x={"merged": True}),
            r'key "prototxt" is missing',
            id="half alias",
        ),
        pytest.param(
            lambda m: m["models"]["df1"]["published"][0].update(value=69.8), r"published\[0\]: a fraction", id="percent"
        ),
        pytest.param(
            lambda m: m["models"]["df1"]["published"][0].update(unit="%"),
            r'unit: expected one of "fraction"',
            id="unit",
        ),
        pytest.param(
            lambda m: m["models"]["df1"]["published"][0].pop("source"), r'key "source" is missing', id="source"
        ),
        pytest.param(
            lambda m: m["files"]["df1.caffemodel"].update(sha256="ABC"), r"sha256: expected 64 hexadecimal", id="sha256"
        ),
        pytest.param(
            lambda m: m["files"]["pl1a_new.bin"].update(sha256=None), r"only a caffemodel can be", id="ncnn, no hash"
        ),
        pytest.param(
            lambda m: m["files"]["df1.caffemodel"].update(urls=["ftp://x/y"]), r"urls\[0\]: ftp://x/y is no", id="url"
        ),
        pytest.param(
            lambda m: m["files"]["df1.caffemodel"].update(shipped=True), r"df1.caffemodel: a shipped file", id="shipped"
        ),
        pytest.param(
            lambda m: m["files"]["toytown_seg_mergebn.caffemodel"].update(sha256=None),
            r"toytown_seg_mergebn.caffemodel: a shipped file has no urls, and its size_bytes and sha256 are known",
            id="shipped, no hash",
        ),
        pytest.param(
            lambda m: m["files"]["df1.caffemodel"].update(shipped="no"), r"shipped: expected true or false", id="ships"
        ),
        pytest.param(lambda m: m["files"]["df1.caffemodel"].update(size_bytes=0), r"size_bytes: expected", id="size 0"),
        pytest.param(lambda m: m["files"].update({"../x": {}}), r"a file name has letters", id="file name"),
    ],
)
def test_damage_is_reported_with_its_place(good: dict[str, Any], tmp_path: Path, damage: Damage, says: str) -> None:
    broken = copy.deepcopy(good)
    damage(broken)
    path = tmp_path / "weights_manifest.json"
    path.write_text(json.dumps(broken), encoding="utf-8")
    with pytest.raises(ManifestError, match=says) as caught:
        read_manifest(path)
    assert str(caught.value).endswith("mend the file, or reinstall dongfeng")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", r"weights_manifest.json:1:1: not JSON"),
        ('{"schema": 1,\n "files": }', r"weights_manifest.json:2:11: not JSON"),
        ('{"schema": 1, "schema": 1}', r'key "schema" stands twice'),
        ("[]", r"weights_manifest.json: expected an object, got \[\]"),
    ],
)
def test_text_that_is_no_manifest(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "weights_manifest.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ManifestError, match=says):
        read_manifest(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be read"):
        read_manifest(tmp_path / "weights_manifest.json")


def test_undamaged_copy_reads_back(good: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "copy.json"
    path.write_text(json.dumps(good), encoding="utf-8")
    assert read_manifest(path) == manifest()


def test_canonical_spelling() -> None:
    assert canonical("DF-Lite_Seg") == "dfliteseg"
