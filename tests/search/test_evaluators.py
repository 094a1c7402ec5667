"""Evaluators: tables, and trainings that give a candidate one accuracy whoever trains it, and when."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from dongfeng.architectures import DF1, backbone_net
from dongfeng.errors import DongfengError, SearchError
from dongfeng.net.graph import Net
from dongfeng.search import Encoding, Space, search
from dongfeng.search.describe import describe, describe_latency
from dongfeng.search.encoding_text import encoding_text, parse_encoding
from dongfeng.search.evaluators import ProcessEvaluator, TableEvaluator, candidate_seed, training_evaluator
from dongfeng.search.evaluators.training import segmenting_net
from tests.search.accuracies import SPACE, accuracy, found

SMALL, OTHER = ((8,), (8,), (8,)), ((8,), (8,), (16,))
SLIM = Space.backbone(widths=(8, 16), depths=((1, 1),) * 3, stem=(4, 8))
QUICK: dict[str, Any] = {
    "size_hw": (32, 32),
    "steps": 4,
    "batch": 4,
    "validation_images": 24,
    "warmup_steps": 0,
    "threads": 1,
    "workers": 1,
}


def table(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("text", ["64,64/128/256", "64 64/128/256", " 64, 64/128/256"])
def test_encodings_are_read_with_commas_or_spaces(text: str) -> None:
    assert parse_encoding(text) == ((64, 64), (128,), (256,))
    assert parse_encoding(encoding_text(parse_encoding(text))) == parse_encoding(text)


@pytest.mark.parametrize("text", ["", "64//128", "64,/128", "a/b", "64/-1", "((64,), (128,))"])
def test_what_is_no_encoding_is_refused(text: str) -> None:
    with pytest.raises(SearchError, match="expected widths of blocks by stage, such as 64,64/128,128/256,512"):
        parse_encoding(text)


def test_a_table_is_looked_up(tmp_path: Path) -> None:
    evaluate = TableEvaluator(
        table(tmp_path / "t.csv", "note,encoding,accuracy", 'x,"8,8/8/8",0.5', "y,8 16/16/32,0.75", "z,8/8/8,")
    )
    assert len(evaluate) == 3
    assert evaluate(((8, 8), (8,), (8,))) == 0.5
    assert evaluate(((8, 16), (16,), (32,))) == 0.75
    assert math.isnan(evaluate(SMALL))
    with pytest.raises(SearchError, match=r"t\.csv: has no accuracy for 8/8/16; add a row for it"):
        evaluate(OTHER)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["encoding,top1", "8/8/8,0.5"], "has to name the columns encoding and accuracy; accuracy is not"),
        (["encoding,accuracy", "8/8/8,much"], r"t\.csv:2: .*much.*; mend the row"),
        (["encoding,accuracy", "8;8,0.5"], r"t\.csv:2: encoding '8;8'"),
        (["encoding,accuracy", "8/8/8,0.5", "8/8/8,0.6"], r"t\.csv:3: another row gives 8/8/8 the accuracy 0\.5"),
        ([""], "has to name the columns"),
    ],
)
def test_a_damaged_table_is_refused(lines: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(SearchError, match=said):
        TableEvaluator(table(tmp_path / "t.csv", *lines))


def test_a_front_is_a_table_and_another_file_is_another_evaluator(tmp_path: Path) -> None:
    result = found(run_dir=tmp_path)
    evaluate = TableEvaluator(tmp_path / "front.csv")
    assert [evaluate(each.encoding) for each in result.front] == [each.accuracy for each in result.front]
    copy = tmp_path / "copy.csv"
    copy.write_bytes((tmp_path / "front.csv").read_bytes())
    assert TableEvaluator(copy).describe() == evaluate.describe()
    copy.write_bytes(copy.read_bytes().replace(b"0.", b"0.1"))
    assert TableEvaluator(copy).describe() != evaluate.describe()


def test_seeds_of_candidates_are_what_they_were_and_all_differ() -> None:
    """Written down, as a run must be resumable with a later version."""
    assert candidate_seed(0, SMALL) == 44135295
    assert candidate_seed(1, SMALL) == 321821999
    seeds = {candidate_seed(seed, ((a,), (b,), (64,))) for seed in range(5) for a in (8, 16) for b in (16, 32)}
    assert len(seeds) == 20
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_descriptions_are_json_and_tell_code_and_settings() -> None:
    builder = partial(backbone_net, block=("basic", "basic", "bottleneck"), stem=(4, 8))
    assert describe(builder) == {
        "function": "dongfeng.architectures.backbone.backbone_net",
        "keywords": {"block": ["basic", "basic", "bottleneck"], "stem": [4, 8]},
    }
    assert describe(accuracy) == {"function": "tests.search.accuracies.accuracy"}
    told = [describe(Space.decoder(DF1).builder), describe_latency("tx2"), describe_latency(accuracy)]
    assert json.loads(json.dumps(told)) == told


def test_a_profile_is_known_by_its_content(tmp_path: Path) -> None:
    from dongfeng.devices import load_profile, write_profile

    write_profile(load_profile("tx2"), tmp_path / "a.json")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "a.json").write_bytes((tmp_path / "a.json").read_bytes())
    told = describe_latency(tmp_path / "a.json")
    assert describe_latency(str(tmp_path / "b" / "a.json")) == told
    (tmp_path / "a.json").write_text((tmp_path / "a.json").read_text() + "\n")
    assert describe_latency(tmp_path / "a.json") != told


def test_a_profile_has_the_checksum_that_it_had() -> None:
    """Written down, as a run that measured this machine must be resumable with a later version."""
    from dongfeng.devices import load_profile

    assert describe_latency(load_profile("gtx1080ti")) == {
        "device": "gtx1080ti",
        "sha256": "ccda854d91aaad55cfae685d07b1baa62839c9a79fe4676056c62e0036fa354a",
    }


@pytest.fixture
def shapes() -> Callable[..., Any]:
    pytest.importorskip("torch")
    return partial(training_evaluator, SLIM, "toyshapes:40", **QUICK)


def test_a_candidate_has_one_accuracy_in_any_order(shapes: Callable[..., Any]) -> None:
    first, second = shapes(seed=1), shapes(seed=1)
    there = [first(SMALL), first(OTHER)]
    assert [second(OTHER), second(SMALL)] == there[::-1]
    assert all(0 <= value <= 1 for value in there)
    assert first.seed_of(SMALL) != shapes(seed=2).seed_of(SMALL)


@pytest.mark.slow
def test_a_candidate_has_the_same_accuracy_in_a_worker(shapes: Callable[..., Any]) -> None:
    evaluate = shapes(seed=1, steps=12)
    with ProcessEvaluator(evaluate, 1) as elsewhere:
        assert list(elsewhere.evaluate([SMALL, OTHER])) == [evaluate(SMALL), evaluate(OTHER)]


def test_a_training_that_diverges_is_a_failure(shapes: Callable[..., Any]) -> None:
    assert math.isnan(shapes(lr=1e30)(SMALL))


def test_a_backbone_is_trained_to_segment_with_a_decoder() -> None:
    pytest.importorskip("torch")
    changed = {**QUICK, "size_hw": (64, 128), "steps": 2, "batch": 2, "validation_images": 2}
    evaluate = training_evaluator(SLIM, "toytown:4", decoder=(8, 8, 16), **changed)
    assert 0 <= evaluate(SMALL) <= 1
    assert evaluate.describe()["net"]["keywords"]["decoder"] == [8, 8, 16]
    decoder = Space.decoder(DF1, widths=(19,))
    assert describe(training_evaluator(decoder, "toytown:4")._builder) == describe(decoder.builder)


@pytest.mark.parametrize("size_hw", [(32, 64), (128, 256), (512, 1024), (1024, 2048)])
def test_pyramids_fit_the_size(size_hw: tuple[int, int]) -> None:
    """At Cityscapes' own size the pyramid is that of the released nets."""
    net = segmenting_net(SMALL, size_hw=size_hw, decoder=(8, 8, 8))
    assert net.shapes()["pred"] == (1, 1, *size_hw)
    kernels = [layer.params.pooling_param.kernel_size for layer in net.layers if layer.name.startswith("psp.pool")]
    if size_hw == (1024, 2048):
        assert [kernel for kernel in kernels if kernel] == [32, 16, 8, 4]


def test_an_imagenet_folder_is_trained_on_and_learned(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    for part in ("train", "val"):
        for name, low in (("dark", 0), ("light", 150)):
            folder = tmp_path / "images" / part / name
            folder.mkdir(parents=True)
            for index in range(4):
                cv2.imwrite(str(folder / f"{index}.png"), rng.integers(low, low + 100, (40, 40, 3), np.uint8))
    changed = {**QUICK, "validation_images": None, "device": "cpu"}
    data = f"imagenet:{tmp_path / 'images'}"
    evaluate = training_evaluator(SLIM, data, **{**changed, "steps": 40})
    assert evaluate(SMALL) == 1.0
    assert training_evaluator(SLIM, data, **{**changed, "lr": 0.0})(SMALL) < 0.8
    assert evaluate.describe()["data"] == "imagenet:images"


def plain_builder(encoding: Encoding) -> Net:
    return backbone_net(encoding, classes=5, size_hw=(64, 64), stem=(4, 8))


def test_nets_of_a_builder_of_ones_own_are_taken_as_they_are() -> None:
    pytest.importorskip("torch")
    from dongfeng.errors import ShapeError

    space = Space(((8, 16),) * 3, ((1, 1),) * 3, plain_builder)
    evaluate = training_evaluator(space, "toyshapes:20", **{**QUICK, "size_hw": (64, 64)})
    with pytest.raises(ShapeError, match=r"its scores are \(1, 5\)"):
        evaluate(SMALL)


@pytest.mark.parametrize(
    ("data", "settings", "said"),
    [
        ("toybox", {}, 'data is "toybox"; expected cityscapes:ROOT'),
        ("toyshapes", {"stepz": 3}, 'there is no setting "stepz"'),
        ("toyshapes", {"size_hw": None}, "has no size_hw"),
    ],
)
def test_settings_that_there_are_not(data: str, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(DongfengError, match=said):
        training_evaluator(SLIM, data, **settings)


@pytest.mark.slow
def test_a_search_by_training_resumes_to_the_same_numbers(shapes: Callable[..., Any], tmp_path: Path) -> None:
    given: dict[str, Any] = {"latency": lambda encoding: float(sum(map(sum, encoding))), "window_ms": (0, 100)}
    whole = search(SLIM, evaluate=shapes(seed=1), budget=3, run_dir=tmp_path / "whole", **given)
    search(SLIM, evaluate=shapes(seed=1), budget=1, run_dir=tmp_path / "parts", **given)
    assert search(SLIM, evaluate=shapes(seed=1), budget=3, run_dir=tmp_path / "parts", **given) == whole


def test_the_space_of_these_tests_is_small() -> None:
    assert len(SPACE) < 1000
