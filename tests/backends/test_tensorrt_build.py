"""Engines built by TensorRT-RTX without a GPU: what they compute in, what stands beside them, how failures are told."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from dongfeng._version import __version__
from dongfeng.architectures import build
from dongfeng.backends.tensorrt import Head, build_engine, read_sidecar, sidecar_path
from dongfeng.backends.tensorrt import build as building
from dongfeng.backends.tensorrt.audit import OnnxNode, audit
from dongfeng.backends.tensorrt.built_here import is_built_here
from dongfeng.backends.tensorrt.kernels import parse_builder, parse_inspector
from dongfeng.backends.tensorrt.library import check_target, configure, import_library, network_flags
from dongfeng.errors import BackendUnavailable, ConversionError, EngineMismatch, ShapeError
from dongfeng.formats.onnx import to_onnx
from dongfeng.net.fold import fold
from dongfeng.net.preprocessing import Preprocessing, prepare
from dongfeng.net.random_weights import random_weights
from dongfeng.net.score_blob import find_score_blob
from dongfeng.passes.head import with_image_input, with_labels
from dongfeng.passes.quantize import quantize
from dongfeng.runtime.labels.upsample import upsample_labels
from dongfeng.runtime.spec import FileSpec, to_metadata
from dongfeng.zoo.models import model_info
from tests.nets import data, layer, read_text

trt = pytest.importorskip("tensorrt_rtx")

ZOO = ("df1", "df2", "df2a", "dflite_seg", "df1seg", "df2seg1", "df2seg2", "pl1a_seg")
SMALL = (
    data(1, 3, 16, 16)
    + layer("a", "Convolution", "data", "a", "convolution_param { num_output: 8 kernel_size: 3 pad: 1 }")
    + layer("a_relu", "ReLU", "a", "a")
    + layer("b", "Convolution", "a", "b", "convolution_param { num_output: 8 kernel_size: 3 pad: 1 }")
    + layer("sum", "Eltwise", "a b", "sum")
    + layer("out", "Convolution", "sum", "out", "convolution_param { num_output: 4 kernel_size: 1 }")
)


def zoo_model(name: str) -> onnx.ModelProto:
    """A zoo model down to its scores, small where its size is free."""
    info = model_info(name)
    size_hw = (64, 128) if info.task == "segmentation" else info.size_hw
    net = fold(random_weights(build(info.architecture, folded=True), 0).resize(*size_hw))
    return to_onnx(net, outputs=[find_score_blob(net)])


def noise(model: onnx.ModelProto, count: int = 1) -> list[np.ndarray]:
    shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    rng = np.random.default_rng(0)
    return [rng.normal(0, 1, shape).astype(np.float32) for _ in range(count)]


def names_of(model: onnx.ModelProto, op_type: str) -> set[str]:
    return {node.name for node in model.graph.node if node.op_type == op_type}


@pytest.fixture
def small(tmp_path: Path) -> onnx.ModelProto:
    return to_onnx(random_weights(read_text(tmp_path, SMALL), 3))


@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
def test_every_convolution_of_the_zoo_is_in_half(name: str, tmp_path: Path) -> None:
    model = zoo_model(name)
    full = build_engine(model, tmp_path / "fp32.engine")
    half = build_engine(model, tmp_path / "fp16.engine", precision="fp16")
    for report, precision in ((full, "fp32"), (half, "fp16")):
        assert report.audit.source == "builder"
        assert report.audit.convolutions == dict.fromkeys(names_of(model, "Conv"), precision)
        assert report.audit.exceptions == ()
        assert report.audit.others_in_fp32 == ()
    if name != "pl1a_seg":  # whose weights are few beside the kernels' sources
        assert half.path.stat().st_size < 0.55 * full.path.stat().st_size


@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
def test_every_convolution_of_the_zoo_is_in_eight_bits(name: str, tmp_path: Path) -> None:
    model = zoo_model(name)
    report = build_engine(model, tmp_path / "m.engine", precision="int8", batches=noise(model), in_float=())
    assert set(report.audit.convolutions.values()) == {"int8"}
    others = {found.name: found.op_type for found in report.audit.exceptions}
    expected = names_of(model, "ConvTranspose") | names_of(model, "Gemm")
    assert set(others) == expected
    for found in report.audit.exceptions:
        assert (found.precision, found.reason) == ("fp16", f"a {found.op_type} is not quantized")


def test_what_the_quantizer_keeps_in_float_is_in_half_and_said(small: onnx.ModelProto, tmp_path: Path) -> None:
    kept = sorted(names_of(small, "Conv"))[1]
    report = build_engine(small, tmp_path / "m.engine", precision="int8", batches=noise(small, 2), in_float=[kept])
    (found,) = report.audit.exceptions
    assert (found.name, found.precision, found.reason) == (kept, "fp16", "the quantizer kept it in float")
    assert "2 of 3 layers with weights in int8, by the builder's plan (no GPU); not: " in report.audit.summary()


def test_a_model_that_is_quantized_already_is_built_as_it_is(small: onnx.ModelProto, tmp_path: Path) -> None:
    made = quantize(small, noise(small), target="tensorrt", in_float=()).model
    report = build_engine(made, tmp_path / "m.engine", precision="int8")
    assert set(report.audit.convolutions.values()) == {"int8"}
    with pytest.raises(ConversionError, match="is quantized already"):
        build_engine(made, tmp_path / "m.engine", precision="fp16")
    for_cpu = quantize(small, noise(small), target="cpu", in_float=()).model
    with pytest.raises(ConversionError, match="--target tensorrt"):
        build_engine(for_cpu, tmp_path / "m.engine", precision="int8")


def test_the_sidecar_says_all_there_is_to_know(small: onnx.ModelProto, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    preprocessing = Preprocessing((1.0, 2.0, 3.0), 0.5)
    helper.set_model_props(small, to_metadata(FileSpec(name="df1seg", preprocessing=preprocessing, score_blob="out")))
    onnx.save(small, path)
    report = build_engine(path, tmp_path / "m.engine", precision="fp16", compute_capability=["8.6", 12.0])
    found = read_sidecar(tmp_path / "m.engine")
    assert found == report.sidecar
    assert found is not None
    plan = (tmp_path / "m.engine").read_bytes()
    assert (found.plan_bytes, found.plan_sha256) == (len(plan), hashlib.sha256(plan).hexdigest())
    assert found.onnx_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (found.target, found.library_version) == ("tensorrt_rtx", trt.__version__)
    assert (found.dongfeng_version, found.precision, found.tf32) == (__version__, "fp16", False)
    assert (found.compute_capabilities, found.built_on, found.dynamic) == (("8.6", "12.0"), None, None)
    assert (found.inputs["data"].shape, found.inputs["data"].dtype) == ((1, 3, 16, 16), "float32")
    assert (found.outputs["out"].shape, found.outputs["out"].dtype) == ((1, 4, 16, 16), "float32")
    assert json.loads(found.metadata["dongfeng.recipe"])["mean_bgr"] == [1.0, 2.0, 3.0]
    assert found.audit.source == "builder"
    assert found.rebuild == (
        f"dongfeng convert df1seg -o {tmp_path}/m.engine --precision fp16 --target tensorrt_rtx "
        "--compute-capability 8.6 --compute-capability 12.0"
    )
    assert is_built_here(found.plan_sha256)
    assert not is_built_here("0" * 64)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["m.engine", "m.engine.json", "net.onnx", "net.prototxt"]


def test_further_gpus_make_another_plan(small: onnx.ModelProto, tmp_path: Path) -> None:
    sizes = [
        build_engine(small, tmp_path / f"{len(given)}.engine", compute_capability=given).sidecar.plan_bytes
        for given in (["8.6"], ["8.6", "8.9"], ["7.5", "8.6", "8.9"])
    ]
    assert sizes == sorted(set(sizes))
    with pytest.raises(ConversionError, match=r"compute capability 9\.9: this library builds for 7\.5, 8\.0"):
        build_engine(small, tmp_path / "m.engine", compute_capability=["9.9"])


def test_an_open_batch_needs_its_sizes_and_gets_them(tmp_path: Path) -> None:
    net = random_weights(read_text(tmp_path, SMALL), 3)
    open_, fixed = to_onnx(net, dynamic="batch"), to_onnx(net)
    report = build_engine(open_, tmp_path / "m.engine", dynamic=(1, 4, 8))
    assert report.sidecar.dynamic == (1, 4, 8)
    assert report.sidecar.inputs["data"].shape == (-1, 3, 16, 16)
    assert report.sidecar.outputs["out"].shape == (-1, 4, 16, 16)
    with pytest.raises(ConversionError, match='input "data" has a dynamic batch; say how large'):
        build_engine(open_, tmp_path / "m.engine")
    with pytest.raises(ConversionError, match="the model has a fixed batch"):
        build_engine(fixed, tmp_path / "m.engine", dynamic=(1, 4, 8))
    with pytest.raises(ConversionError, match="expected MINxOPTxMAX"):
        build_engine(open_, tmp_path / "m.engine", dynamic=(4, 2, 8))
    with pytest.raises(ConversionError, match="has a dynamic height and width"):
        build_engine(to_onnx(net, dynamic=True), tmp_path / "m.engine", dynamic=(1, 4, 8))


def test_a_batch_that_a_constant_would_pin_is_refused(tmp_path: Path) -> None:
    """The library itself narrows the range to that batch without a word."""
    nodes = [
        helper.make_node(
            "Resize", ["x", "", "", "size"], ["y"], mode="linear", coordinate_transformation_mode="half_pixel"
        )
    ]
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3, 16, 16])],
            [numpy_helper.from_array(np.array([1, 3, 16, 16], np.int64), "size")],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    with pytest.raises(ConversionError, match='output "y" has a batch of 1 whatever the input has'):
        build_engine(model, tmp_path / "m.engine", dynamic=(1, 4, 8))


def unreadable(model: onnx.ModelProto) -> onnx.ModelProto:
    """With a node that no parser knows."""
    broken = onnx.ModelProto()
    broken.CopyFrom(model)
    broken.graph.node[1].op_type = "NoSuchOperator"
    return broken


def test_what_the_parser_refuses_is_told_and_nothing_is_written(small: onnx.ModelProto, tmp_path: Path) -> None:
    path = tmp_path / "m.engine"
    build_engine(small, path)
    before = path.read_bytes()
    with pytest.raises(
        ConversionError, match=r"m\.engine: TensorRT-RTX: the parser refused the model: NoSuchOperator"
    ) as error:
        build_engine(unreadable(small), path)
    assert "\n" not in str(error.value)
    assert "NoSuchOperator" in (tmp_path / "m.engine.log").read_text()
    assert path.read_bytes() == before
    assert sorted(file.name for file in tmp_path.glob("*m*")) == ["m.engine", "m.engine.json", "m.engine.log"]


def test_a_builder_that_dies_is_told(small: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program in the place of Python that is killed, as the kernel does for want of memory."""
    killed = tmp_path / "killed"
    killed.write_text(f"#!{sys.executable}\nimport os\nos.kill(os.getpid(), {int(signal.SIGKILL)})\n")
    killed.chmod(0o755)
    monkeypatch.setattr(building.sys, "executable", str(killed))
    with pytest.raises(
        ConversionError, match=r"the building process died \(signal 9\), most likely for want of memory"
    ):
        build_engine(small, tmp_path / "m.engine")
    assert not (tmp_path / "m.engine").exists()
    assert not sidecar_path(tmp_path / "m.engine").exists()


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"precision": "bf16"}, BackendUnavailable, "engines are built in fp32, fp16, int8"),
        ({"precision": "int8"}, ConversionError, "int8 needs about ten inputs"),
        ({"precision": "fp16", "batches": [np.zeros((1, 3, 16, 16), np.float32)]}, ConversionError, "are for int8"),
        ({"target": "tensorrt3"}, BackendUnavailable, "no engine target"),
        ({"workspace_mb": 0}, ConversionError, "at least 1"),
    ],
    ids=["bf16", "no images", "images", "target", "workspace"],
)
def test_what_cannot_be_meant_is_refused(
    options: dict[str, object], error: type[Exception], words: str, small: onnx.ModelProto, tmp_path: Path
) -> None:
    with pytest.raises(error, match=words):
        build_engine(small, tmp_path / "m.engine", **options)


def test_a_file_that_is_no_onnx_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"\xff\xfe nothing of the kind")
    with pytest.raises(ConversionError, match=r"x\.onnx: (is no ONNX file|computes nothing)"):
        build_engine(tmp_path / "x.onnx", tmp_path / "m.engine")
    with pytest.raises(FileNotFoundError):
        build_engine(tmp_path / "none.onnx", tmp_path / "m.engine")


def test_nodes_without_names_are_audited_too(small: onnx.ModelProto, tmp_path: Path) -> None:
    for node in small.graph.node:
        node.name = ""
    report = build_engine(small, tmp_path / "m.engine", precision="fp16")
    assert sorted(report.audit.convolutions.values()) == ["fp16"] * 3
    assert all(not node.name for node in small.graph.node)


def test_a_missing_library_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dongfeng.backends.tensorrt.library.find_spec", lambda _: None)
    for target, extra in (("tensorrt_rtx", "tensorrt-rtx"), ("tensorrt", "tensorrt")):
        with pytest.raises(BackendUnavailable, match=rf'is not installed; run: pip install "dongfeng\[{extra}\]"'):
            import_library(target)
    with pytest.raises(BackendUnavailable, match="there are: tensorrt_rtx, tensorrt"):
        check_target("tensorflow")


class Members:
    """A class of names, as the libraries have them."""

    def __init__(self, **members: int) -> None:
        self.__dict__.update(members)


@pytest.mark.parametrize(
    ("creation", "flags", "bits"),
    [({"STRONGLY_TYPED": 1}, {"TF32": 0, "FP16": 1}, 2), ({"STRONGLY_TYPED": 1}, {"TF32": 0}, 2), ({}, {"TF32": 0}, 0)],
    ids=["10", "11", "always typed"],
)
def test_versions_are_told_by_what_they_have(
    creation: dict[str, int], flags: dict[str, int], bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stand-ins for versions of `tensorrt` that cannot be installed here."""
    library = Members(NetworkDefinitionCreationFlag=Members(**creation), BuilderFlag=Members(**flags), __version__="x")
    monkeypatch.setattr("dongfeng.backends.tensorrt.library.find_spec", lambda _: object())
    monkeypatch.setattr("dongfeng.backends.tensorrt.library.import_module", lambda _: library)
    assert network_flags(import_library("tensorrt")) == bits


def test_a_library_without_typed_networks_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Members(NetworkDefinitionCreationFlag=Members(), BuilderFlag=Members(FP16=1), __version__="8.2.1")
    monkeypatch.setattr("dongfeng.backends.tensorrt.library.find_spec", lambda _: object())
    monkeypatch.setattr("dongfeng.backends.tensorrt.library.import_module", lambda _: library)
    with pytest.raises(BackendUnavailable, match=r"8\.2\.1 has no strongly typed networks"):
        import_library("tensorrt")


@pytest.mark.parametrize("tf32", [False, True])
def test_fp32_means_fp32_unless_told(tf32: bool) -> None:
    config = trt.Builder(trt.Logger(trt.Logger.ERROR)).create_builder_config()
    assert config.get_flag(trt.BuilderFlag.TF32)  # what the library does by itself
    configure(trt, config, tf32=tf32, workspace_mb=64, compute_capability=())
    assert config.get_flag(trt.BuilderFlag.TF32) == tf32
    assert config.get_memory_pool_limit(trt.MemoryPoolType.WORKSPACE) == 64 << 20


def kernel_line(name: str, kind: str, inputs: str, weights: str, nodes: str) -> str:
    def tensor(dims: str, dtype: str) -> str:
        return (
            f"{{ Name: t, Dimensions: [{dims}], Strides: [1], StrideOrder: [0], Datatype: {dtype}, Format: (Linear) x}}"
        )

    constants = f"[ {tensor('8,3,3,3', weights)}, {tensor('1', 'Float')}]" if weights else "[]"
    found = "".join(f"[ONNX Layer: {node}]" for node in nodes.split())
    return (
        f"Name: {name}, LayerType: {kind}, Inputs: [ {tensor('1,3,8,8', inputs)}], Constants: {constants}, "
        f"Outputs: [ {tensor('1,8,8,8', inputs)}], TacticName: x, StreamId: 0, Metadata: {found}"
    )


LISTED = "\n".join(
    [
        "Layers:",
        kernel_line("k0", "correlation", "Int8", "Int8", "a a@DQ"),
        kernel_line("k1", "kgen", "Float", "Float", "a relu"),
        kernel_line("k2", "correlation", "Half", "Half", "b"),
        kernel_line("k3", "correlation", "Half", "Float", "c"),
        kernel_line("k4", "kgen", "Float", "", "resize"),
        "",
        "Engine Metadata:",
    ]
)


def test_the_audit_never_says_a_precision_that_is_not_there() -> None:
    """A list with one convolution in int8, one in fp16, one with fp32 weights, and one that is not in it."""
    nodes = [OnnxNode(name, "Conv", name in "ab", False) for name in "abcd"] + [
        OnnxNode("resize", "Resize", False, False)
    ]
    found = audit(parse_builder(LISTED), nodes, "int8", "builder")
    assert found.convolutions == {"a": "int8", "b": "fp16", "c": "fp32", "d": None}
    reasons = {layer.name: layer.reason for layer in found.exceptions}
    assert reasons == {
        "b": "the builder computes it in fp16",
        "c": "the quantizer kept it in float",
        "d": "the list of kernels does not mention it",
    }
    assert found.others_in_fp32 == ("resize",)


@pytest.mark.parametrize(
    "tensors",
    [
        {"Inputs": [{"Datatype": "Half"}], "Constants": [{"Dimensions": [8, 3], "Datatype": "Half"}]},
        {"Inputs": [{"Format/Datatype": "Row major linear FP16 format"}], "Weights": {"Type": "Half", "Count": 9}},
    ],
    ids=["rtx", "10.x"],
)
def test_the_inspectors_form_is_read_as_well(tensors: dict[str, object]) -> None:
    """Written after the maker's documentation: there is no GPU here that would give one."""
    entry = {"Name": "k", "LayerType": "correlation", "Outputs": [], "Metadata": "[ONNX Layer: a]\x1e[ONNX Layer: r]"}
    kernels = parse_inspector(json.dumps({"Layers": [{**entry, **tensors}, "a name alone"]}))
    found = audit(kernels, [OnnxNode("a", "Conv", False, False)], "fp16", "inspector")
    assert (found.convolutions, found.exceptions) == ({"a": "fp16"}, ())
    assert "by the engine inspector" in found.summary()


@pytest.mark.parametrize(
    ("inspector", "source"),
    [
        ({"Layers": [{"Name": "k", "LayerType": "x", "Inputs": [], "Metadata": "[ONNX Layer: a]"}]}, "builder"),
        ({"Layers": ["k0", "k1"]}, "builder"),
        (
            {
                "Layers": [
                    {
                        "Name": "k",
                        "LayerType": "correlation",
                        "Inputs": [{"Datatype": "Int8"}],
                        "Constants": [{"Datatype": "Int8", "Dimensions": [8, 3]}],
                        "Metadata": "[ONNX Layer: a]",
                    }
                ]
            },
            "inspector",
        ),
    ],
    ids=["no types", "names alone", "all"],
)
def test_the_inspector_counts_where_it_knows_every_layer(inspector: object, source: str, tmp_path: Path) -> None:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "xy")
    model = helper.make_model(helper.make_graph([helper.make_node("Conv", ["x", "w"], ["y"], name="a")], "g", [x], [y]))
    result = building.BuildResult(layers=LISTED, inspector=json.dumps(inspector))
    assert building._audited(result, model, "int8", tmp_path).source == source
    with pytest.raises(ConversionError, match="its precision is not known"):
        building._audited(building.BuildResult(library_version="1"), model, "int8", tmp_path)


def test_an_engine_without_what_was_asked_for_is_not_written(
    small: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The types are left out of the model, as an earlier version of a converter might."""
    monkeypatch.setattr(building, "in_precision", lambda model, *_, **__: model)
    with pytest.raises(ConversionError, match="nothing came out in fp16: 0 of 3 layers"):
        build_engine(small, tmp_path / "m.engine", precision="fp16")
    assert not (tmp_path / "m.engine").exists()


def test_a_damaged_sidecar_is_an_error_of_ours(small: onnx.ModelProto, tmp_path: Path) -> None:
    path = tmp_path / "m.engine"
    assert read_sidecar(path) is None
    build_engine(small, path)
    values = json.loads(sidecar_path(path).read_text())
    for text in (
        "",
        "[]",
        "{}",
        '{"schema": 1}',
        json.dumps({**values, "inputs": 3}),
        json.dumps({**values, "schema": 9}),
    ):
        sidecar_path(path).write_text(text)
        with pytest.raises(EngineMismatch, match="build the engine again"):
            read_sidecar(path)


# --- the head: images in, labels out


def on_onnxruntime(model: onnx.ModelProto, image: np.ndarray) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, {session.get_inputs()[0].name: image}), strict=True))


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_an_image_in_the_graph_is_the_recipes_input(layout: str, small: onnx.ModelProto) -> None:
    preprocessing = Preprocessing((72.0, 83.0, 73.0), 0.008)
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    expected = on_onnxruntime(small, prepare(image, preprocessing, (16, 16)))["out"]
    batch = image[None] if layout == "NHWC" else image.transpose(2, 0, 1)[None]
    got = on_onnxruntime(with_image_input(small, preprocessing, layout=layout), np.ascontiguousarray(batch))["out"]
    np.testing.assert_array_equal(got, expected)


def scores_model(shape: tuple[object, ...]) -> onnx.ModelProto:
    """A model whose scores are its input."""
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "scores")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["scores"])], "g", infos[:1], infos[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("size_hw", [(64, 128), (96, 100), (8, 16), (5, 9)], ids=str)
def test_labels_in_the_graph_are_those_of_the_runtime(size_hw: tuple[int, int]) -> None:
    scores = np.random.default_rng(1).normal(size=(1, 19, 8, 16)).astype(np.float32)
    got = on_onnxruntime(with_labels(scores_model((1, 19, 8, 16)), size_hw), scores)["labels"]
    assert (got.shape, got.dtype) == ((1, *size_hw), np.uint8)
    expected = upsample_labels(scores[0], size_hw)
    assert np.mean(got[0] == expected) >= 0.9995  # float32 rounds where the runtime computes in float64


def test_of_equal_classes_the_largest_wins() -> None:
    """Whole numbers, which interpolate without rounding at a factor of two."""
    scores = np.random.default_rng(2).integers(0, 3, (1, 6, 8, 8)).astype(np.float32)
    got = on_onnxruntime(with_labels(scores_model((1, 6, 8, 8)), (16, 16)), scores)["labels"]
    np.testing.assert_array_equal(got[0], upsample_labels(scores[0], (16, 16)))
    assert np.all(on_onnxruntime(with_labels(scores_model((1, 6, 8, 8)), (16, 16)), 0 * scores)["labels"] == 5)


def test_labels_of_an_open_batch() -> None:
    model = with_labels(scores_model(("n", 4, 8, 8)), (32, 32), keep_scores=True)
    scores = np.random.default_rng(3).normal(size=(3, 4, 8, 8)).astype(np.float32)
    got = on_onnxruntime(model, scores)
    assert set(got) == {"scores", "labels"}
    for one, labels in zip(scores, got["labels"], strict=True):
        assert np.mean(labels == upsample_labels(one, (32, 32))) >= 0.999
    with pytest.raises(ShapeError, match="the ratio has to be whole"):
        with_labels(scores_model(("n", 4, 8, 8)), (30, 32))


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: with_labels(scores_model((1, 4, 8)), (8, 8)), ShapeError, r"expected scores \(N, C, h, w\)"),
        (lambda: with_labels(scores_model((1, 4, 8, 8)), (8, 8), scores="y"), ConversionError, "which output"),
        (lambda: with_image_input(scores_model((1, 4, 8, 8)), Preprocessing()), ShapeError, "expected an image"),
    ],
    ids=["rank", "name", "channels"],
)
def test_what_has_no_head_is_refused(make: Callable[[], object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make()


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_an_engine_takes_images_and_gives_labels(precision: str, small: onnx.ModelProto, tmp_path: Path) -> None:
    head = Head(Preprocessing((1.0, 2.0, 3.0), 0.5), "NHWC", (64, 64))
    report = build_engine(small, tmp_path / "m.engine", precision=precision, head=head)
    ports = {**report.sidecar.inputs, **report.sidecar.outputs}
    assert {name: (port.shape, port.dtype) for name, port in ports.items()} == {
        "image": ((1, 16, 16, 3), "uint8"),
        "labels": ((1, 64, 64), "uint8"),
    }
    assert report.audit.exceptions == ()
    assert report.audit.others_in_fp32 == ()  # the head is meant to be
    assert json.loads(report.sidecar.metadata["dongfeng.labels_output"]) == "labels"


def test_the_worker_needs_no_working_folder(
    small: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file called like a library of ours in the caller's folder is not imported."""
    (tmp_path / "tensorrt_rtx.py").write_text("raise SystemExit(7)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(entry for entry in sys.path if entry))
    assert build_engine(small, tmp_path / "m.engine").path.is_file()
