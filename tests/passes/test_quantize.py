"""Quantized models against their float ones, and their form against what runtimes ask for."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper
from onnxruntime.quantization.quant_utils import compute_scale_zp

import dongfeng
from dongfeng.architectures import build
from dongfeng.cli.main import main
from dongfeng.errors import ConversionError, DongfengError
from dongfeng.formats.ncnn import load_ncnn_weights
from dongfeng.formats.onnx import to_onnx
from dongfeng.net.fold import fold
from dongfeng.net.random_weights import random_weights
from dongfeng.passes.quantize import agreement, calibrate, layer_snr_db, quantize, to_fp16
from dongfeng.passes.quantize.cpu import pad_depthwise_channels, resize_instead_of_deconvolution
from dongfeng.passes.quantize.equalize import equalize, fuse_stem
from dongfeng.passes.quantize.execution import relative_error, run, scores
from dongfeng.passes.quantize.ranges import ActivationStatistics, collect_statistics, find_range, scale_and_zero
from dongfeng.passes.quantize.rounding import moments_of, round_with_inputs
from dongfeng.passes.quantize.saturation import saturates
from dongfeng.passes.quantize.shuffle import absorb_shuffles
from dongfeng.zoo.models import model_info
from tests.nets import data, layer, read_text

RESIDUAL = (
    data(1, 3, 16, 16)
    + layer("a", "Convolution", "data", "a", "convolution_param { num_output: 8 kernel_size: 3 pad: 1 }")
    + layer("a_relu", "ReLU", "a", "a")
    + layer("dw", "Convolution", "a", "dw", "convolution_param { num_output: 8 kernel_size: 3 pad: 1 group: 8 }")
    + layer("b", "Convolution", "dw", "b", "convolution_param { num_output: 8 kernel_size: 1 }")
    + layer("sum", "Eltwise", "a b", "sum")
    + layer("sum_relu", "ReLU", "sum", "sum")
    + layer("cat", "Concat", "sum a", "cat")
    + layer("out", "Convolution", "cat", "out", "convolution_param { num_output: 4 kernel_size: 1 }")
)
STEM = (
    data(1, 3, 9, 12)
    + layer("dw", "Convolution", "data", "dw", "convolution_param { num_output: 3 kernel_size: 3 pad: 1 group: 3 stride: 2 }")
    + layer("pw", "Convolution", "dw", "pw", "convolution_param { num_output: 5 kernel_size: 1 }")
    + layer("relu", "ReLU", "pw", "pw")
    + layer("out", "Convolution", "pw", "out", "convolution_param { num_output: 2 kernel_size: 1 }")
)  # fmt: skip


def model_of(tmp_path: Path, text: str, **options: object) -> onnx.ModelProto:
    """With biases and channels of very different size, which random fillers do not give."""
    model = to_onnx(random_weights(read_text(tmp_path, text), 3), **options)
    rng = np.random.default_rng(1)
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.ndim in (1, 4):
            spread = np.exp(rng.normal(0, 0.4, len(values))).reshape(-1, *[1] * (values.ndim - 1))
            values = values * spread if values.ndim == 4 else rng.normal(0, 0.3, len(values))
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), tensor.name))
    return model


def inputs_of(model: onnx.ModelProto, count: int = 4) -> list[np.ndarray]:
    shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    rng = np.random.default_rng(0)
    return [rng.normal(0.2, 1, shape).astype(np.float32) for _ in range(count)]


@pytest.fixture
def residual(tmp_path: Path) -> onnx.ModelProto:
    return model_of(tmp_path, RESIDUAL)


def weights_of(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def test_equalizing_changes_no_score_and_makes_the_channels_of_a_depthwise_input_equally_large(
    residual: onnx.ModelProto, tmp_path: Path
) -> None:
    model = model_of(tmp_path, STEM.replace("stride: 2", "") + "")
    inputs = inputs_of(model)
    before = scores(model, inputs)
    fuse_stem(model)
    assert equalize(model, collect_statistics(model, inputs)) == 1
    assert relative_error(before, scores(model, inputs)) < 1e-6

    chain = model_of(tmp_path, RESIDUAL.replace('bottom: "a" bottom: "b"', 'bottom: "b" bottom: "b"').replace('bottom: "sum" bottom: "a"', 'bottom: "sum" bottom: "b"'))  # fmt: skip
    inputs = inputs_of(chain)
    before = scores(chain, inputs)
    spread = np.ptp(np.log(collect_statistics(chain, inputs)["a"].channel_max))
    assert equalize(chain, collect_statistics(chain, inputs)) >= 1
    assert relative_error(before, scores(chain, inputs)) < 1e-6
    assert spread > 0.5
    assert np.ptp(np.log(collect_statistics(chain, inputs)["a"].channel_max)) < 1e-4


def test_a_stem_becomes_one_convolution_that_computes_the_same(tmp_path: Path) -> None:
    model = model_of(tmp_path, STEM)
    inputs = inputs_of(model)
    before = scores(model, inputs)
    assert fuse_stem(model) == 1
    onnx.checker.check_model(model)
    assert [node.op_type for node in model.graph.node] == ["Conv", "Relu", "Conv"]
    assert relative_error(before, scores(model, inputs)) < 1e-6


def small_pl1a() -> onnx.ModelProto:
    net = fold(random_weights(build("pl1a_seg").resize(96, 160), 0))
    return to_onnx(net, outputs=["Decoder_score"])


def test_shuffles_are_absorbed_and_no_score_changes() -> None:
    model = small_pl1a()
    inputs = inputs_of(model, 1)
    before = scores(model, inputs)
    assert absorb_shuffles(model) == 16
    onnx.checker.check_model(model, full_check=True)
    assert not {"Reshape", "Transpose"} & {node.op_type for node in model.graph.node}
    assert relative_error(before, scores(model, inputs)) < 1e-5
    assert absorb_shuffles(model) == 0


def test_shuffled_channels_that_something_else_reads_stay_as_they_are() -> None:
    model = small_pl1a()
    shuffled = "res2.2.shuffle"
    model.graph.output.append(onnx.helper.make_tensor_value_info(shuffled, onnx.TensorProto.FLOAT, None))
    content = model.SerializeToString()
    assert absorb_shuffles(model) == 0
    assert model.SerializeToString() == content


def test_rewritings_for_cpus_change_no_score() -> None:
    model = small_pl1a()
    inputs = inputs_of(model, 1)
    before = scores(model, inputs)
    absorb_shuffles(model)
    assert resize_instead_of_deconvolution(model) == 2
    assert pad_depthwise_channels(model) == 5
    onnx.checker.check_model(model, full_check=True)
    assert "ConvTranspose" not in {node.op_type for node in model.graph.node}
    assert relative_error(before, scores(model, inputs)) < 1e-5


def test_a_deconvolution_that_is_not_bilinear_stays() -> None:
    model = small_pl1a()
    for tensor in model.graph.initializer:
        if tensor.name.endswith("up2/weight"):
            values = numpy_helper.to_array(tensor).copy()
            values[3, 0, 1, 1] += 0.01
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    assert resize_instead_of_deconvolution(model) == 0


@pytest.mark.parametrize("symmetric", [False, True])
def test_scales_of_full_ranges_are_those_of_onnxruntime(symmetric: bool) -> None:
    seen = ActivationStatistics()
    seen.add(np.array([[-1.5, 0.25, 4.0]], np.float32))
    low, high = find_range([seen], "minmax", symmetric=symmetric)
    limits = (-127, 127) if symmetric else (0, 255)
    kind = np.int8 if symmetric else np.uint8
    zero, scale = compute_scale_zp(
        np.float32(-1.5), np.float32(4), np.array(limits[0], kind), np.array(limits[1], kind), symmetric=symmetric
    )
    assert scale_and_zero((low, high), symmetric=symmetric) == (pytest.approx(float(scale)), int(zero))


def test_a_range_of_least_error_loses_less_than_the_others() -> None:
    seen = ActivationStatistics()
    seen.add(np.random.default_rng(0).standard_t(3, 20_000).astype(np.float32))
    (values,) = seen.samples

    def error(method: str) -> float:
        scale, zero = scale_and_zero(find_range([seen], method, symmetric=False), symmetric=False)
        return float(np.mean(((np.clip(np.rint(values / scale) + zero, 0, 255) - zero) * scale - values) ** 2))

    assert error("mse") < 0.97 * error("minmax")
    assert error("mse") <= 1.05 * error("percentile")


def test_rounding_for_the_inputs_beats_rounding_to_the_nearest() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.normal(0, 1, (2000, 3)) @ rng.normal(0, 1, (3, 24)) + 0.1 * rng.normal(0, 1, (2000, 24)) + 2
    weight, bias = rng.normal(0, 1, (6, 24)), rng.normal(0, 1, 6)
    scale = (np.abs(weight).max(axis=1) / 15).astype(np.float32)
    exact = inputs @ weight.T + bias
    nearest = inputs @ (np.rint(weight / scale[:, None]) * scale[:, None]).T + bias
    values, new_bias = round_with_inputs(weight, bias, moments_of(inputs), scale, 15)
    fitted = inputs @ (values * scale[:, None]).T + new_bias
    assert np.abs(values).max() <= 15
    assert np.std(fitted - exact) < 0.3 * np.std(nearest - exact)
    assert np.abs(np.mean(fitted - exact)) < 0.1 * np.abs(nearest - exact).mean()


def test_eight_bits_stay_near_the_float_model_and_run_as_integers(residual: onnx.ModelProto, tmp_path: Path) -> None:
    inputs = inputs_of(residual, 6)
    done = quantize(residual, inputs[:4], in_float=())
    onnx.checker.check_model(done.model, full_check=True)
    assert relative_error(scores(residual, inputs[4:]), scores(done.model, inputs[4:])) < 0.03
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    onnxruntime.InferenceSession(done.model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node]
    assert kinds.count("QLinearConv") == 4
    assert "QLinearAdd" in kinds
    assert not {"Conv", "Relu", "Add"} & set(kinds)
    snr = layer_snr_db(done, inputs[4:])
    assert len(snr) == 4
    assert all(value > 25 for value in snr.values())


def test_the_tensorrt_target_has_the_form_that_tensorrt_takes(residual: onnx.ModelProto) -> None:
    inputs = inputs_of(residual, 6)
    done = quantize(residual, inputs[:4], target="tensorrt", in_float=())
    assert relative_error(scores(residual, inputs[4:]), scores(done.model, inputs[4:])) < 0.04
    weights = weights_of(done.model)
    makers = {name: node for node in done.model.graph.node for name in node.output}
    kinds = {node.op_type for node in done.model.graph.node}
    assert kinds == {"QuantizeLinear", "DequantizeLinear", "Conv", "Relu", "Add", "Concat"}
    for node in done.model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            assert weights[node.input[2]].dtype == np.int8
            assert not weights[node.input[2]].any()
        elif node.op_type == "Conv":
            assert [makers[name].op_type for name in node.input[:2]] == ["DequantizeLinear"] * 2
            assert weights[node.input[2]].dtype == np.float32
        elif node.op_type == "Relu":
            assert makers[node.input[0]].op_type in ("Conv", "Add")
        else:
            assert [makers[name].op_type for name in node.input] == ["DequantizeLinear"] * 2


def test_layers_stay_in_float_when_told_and_when_they_make_the_noise(
    residual: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = inputs_of(residual)
    assert not quantize(residual, inputs).alone  # so little noise that layers are not even tried
    monkeypatch.setattr(calibrate, "_SMALL_ERROR", 0.0)
    first = next(node.name for node in residual.graph.node if node.op_type == "Conv")
    told = quantize(residual, inputs, in_float=[first])
    (kept,) = (node for node in told.model.graph.node if node.name == first)
    assert weights_of(told.model)[kept.input[1]].dtype == np.float32
    found = quantize(residual, inputs)
    worst = max(found.alone, key=lambda name: found.alone[name])
    assert found.in_float[0] == worst
    assert found.error < quantize(residual, inputs, in_float=()).error


def test_seven_bits_are_for_cpus_that_saturate(residual: onnx.ModelProto) -> None:
    inputs = inputs_of(residual)
    done = quantize(residual, inputs, in_float=(), reduce_range=True)
    largest = [
        np.abs(v.astype(int)).max() for v in weights_of(done.model).values() if v.dtype == np.int8 and v.ndim == 4
    ]
    assert max(largest) == 63
    assert quantize(residual, inputs[:1], target="tensorrt").reduced_range is False


def test_saturation_is_what_the_cpu_flags_say() -> None:
    flags = Path("/proc/cpuinfo")
    if not flags.is_file() or " vnni" not in flags.read_text().replace("_", " "):
        pytest.skip("needs a CPU that is known to have VNNI")
    assert saturates() is False


def test_a_tiny_channel_with_a_large_bias_keeps_its_bias(residual: onnx.ModelProto) -> None:
    conv = next(node for node in residual.graph.node if node.op_type == "Conv")
    for tensor in residual.graph.initializer:
        values = numpy_helper.to_array(tensor).copy()
        if tensor.name == conv.input[1]:
            values[0] = 1e-12
        elif tensor.name == conv.input[2]:
            values[0] = 3
        else:
            continue
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    inputs = inputs_of(residual)
    done = quantize(residual, inputs, in_float=(), method="minmax")
    name = conv.output[0]
    (first,) = (values[name] for values in run(done.model, [name], inputs[:1]))
    (expected,) = (values[name] for values in run(done.float_model, [name], inputs[:1]))
    np.testing.assert_allclose(first[:, 0], expected[:, 0], rtol=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "gpu"}, 'no target is called "gpu"'),
        ({"method": "best"}, 'no calibration method is called "best"'),
        ({"in_float": ["nobody"]}, "the model has no node nobody"),
        ({"batches": []}, "no calibration inputs"),
        ({"batches": [np.full((1, 3, 16, 16), np.nan)]}, "NaN"),
        ({"batches": [np.zeros((1, 3, 5, 5))]}, "cannot be run"),
    ],
)
def test_what_cannot_be_quantized_is_one_clear_line(
    residual: onnx.ModelProto, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ConversionError, match=message) as caught:
        quantize(residual, **{"batches": inputs_of(residual), **options})
    assert "\n" not in str(caught.value)


def test_old_opsets_and_quantized_models_are_refused(residual: onnx.ModelProto, tmp_path: Path) -> None:
    inputs = inputs_of(residual, 1)
    with pytest.raises(ConversionError, match="opset 11"):
        quantize(model_of(tmp_path, RESIDUAL, opset=11), inputs)
    with pytest.raises(ConversionError, match="quantized already"):
        quantize(quantize(residual, inputs, in_float=()).model, inputs)


def test_agreement_counts_pixels_and_classes() -> None:
    a = np.zeros((100, 100), np.uint8)
    b = a.copy()
    a[:30], b[:20] = 1, 1
    a[0, :10] = 7
    found = agreement([a], [b])
    assert found.pixel_fraction == 1 - (1000 + 10) / 10_000
    assert found.pixels == {0: 7000, 1: 2990, 7: 10}
    assert found.iou == {0: 7000 / 8000, 1: 1990 / 3000, 7: 0}
    assert found.mean_iou == pytest.approx((7000 / 8000 + 1990 / 3000) / 2)


def test_sixteen_bits_inside_and_float32_outside() -> None:
    net = fold(random_weights(build("df1seg", folded=True).resize(64, 128), 0))
    model = to_onnx(net, outputs=["Decoder_score"])
    half = to_fp16(model)
    onnx.checker.check_model(half)
    inputs = inputs_of(model, 2)
    assert relative_error(scores(model, inputs), scores(half, inputs)) < 5e-3
    ends = [*half.graph.input, *half.graph.output]
    assert {value.type.tensor_type.elem_type for value in ends} == {onnx.TensorProto.FLOAT}
    assert half.ByteSize() < 0.55 * model.ByteSize()
    assert list(half.metadata_props) == list(model.metadata_props)


def test_the_command_writes_what_load_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("images").mkdir()
    rng = np.random.default_rng(0)
    for index in range(4):
        small = rng.integers(0, 256, (6, 8, 3), np.uint8)
        cv2.imwrite(f"images/{index}.png", cv2.resize(small, (128, 64), interpolation=cv2.INTER_CUBIC))
    command = "quantize pl1a_seg --weights random --size 96x160 --images images --calibrate 2 -o out.onnx"
    assert main([*command.split(), "--report", "report.json", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads(Path("report.json").read_text(encoding="utf-8"))
    assert (report["calibration_images"], report["held_out_images"]) == (2, 2)
    assert report["calibration_relative_error"] < 0.1
    assert report["pixel_agreement_fraction"] > 0.9
    rows = {row["layer"]: row for row in report["rows"]}
    assert all(rows[name]["in_float"] for name in report["in_float"])
    with dongfeng.load("out.onnx") as model:
        assert (model.name, model.preprocessing, model.classes) == (
            "pl1a_seg",
            model_info("pl1a_seg").preprocessing,
            "cityscapes",
        )
        assert model("images/3.png").labels.shape == (64, 128)

    assert main([*command.split()[:-4], "-o", "out.bin"]) == 1
    assert "OUT has to end in .onnx" in capsys.readouterr().err


@pytest.mark.slow
def test_pl1a_on_frames_it_was_not_calibrated_with(shared: Path) -> None:
    info = model_info("pl1a_seg")
    net = fold(load_ncnn_weights(build("pl1a_seg"), shared / "pl1a/pl1a_new.bin"))
    frames = sorted((shared / "pl1a/frames").glob("*.png"))
    from dongfeng.net.preprocessing import prepare
    from dongfeng.runtime.labels.upsample import upsample_labels

    inputs = [prepare(cv2.imread(str(frame)), info.preprocessing, info.size_hw) for frame in frames]
    done = quantize(to_onnx(net, outputs=["Decoder_score"]), inputs[:10])
    expected = [cv2.imread(str(shared / "pl1a/labels" / frame.name), cv2.IMREAD_UNCHANGED) for frame in frames[10:]]
    got = [upsample_labels(values[0], info.size_hw) for values in scores(done.model, inputs[10:])]
    found = agreement(expected, got)
    assert found.pixel_fraction >= 0.985
    assert found.mean_iou is not None
    assert found.mean_iou >= 0.9


def test_a_model_that_is_no_model_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(b"\xff\xfe not a model")
    with pytest.raises(DongfengError, match=r"bad\.onnx: is no ONNX file"):
        quantize(path, [])
