"""How a net begins and ends: headers, data layers, labels, losses."""

from __future__ import annotations

from pathlib import Path

import pytest

import dongfeng
from dongfeng.errors import DongfengWarning, PrototxtError, UnsupportedLayer
from tests.nets import data, layer, read_text

CONV = layer("c", "Convolution", "data", "c", "convolution_param { num_output: 2 kernel_size: 1 }")
LOSS = layer("loss", "SoftmaxWithLoss", "c label", "loss")


@pytest.mark.parametrize(
    ("source", "shape"),
    [
        ('type: "ImageData"', (1, 3, None, None)),
        ('type: "ImageData" image_data_param { is_color: false }', (1, 1, None, None)),
        ('type: "ImageData" image_data_param { new_height: 6 new_width: 8 }', (1, 3, 6, 8)),
        (
            'type: "ImageData" transform_param { crop_size: 5 } image_data_param { new_height: 6 new_width: 8 }',
            (1, 3, 5, 5),
        ),
        ('type: "Data" transform_param { crop_size: 5 } data_param { batch_size: 64 }', (1, None, 5, 5)),
        ('type: "Data" transform_param { mean_value: 1 mean_value: 2 mean_value: 3 }', (1, 3, None, None)),
        ('type: "Data" transform_param { force_gray: true }', (1, 1, None, None)),
        ('type: "MemoryData" memory_data_param { batch_size: 9 channels: 4 height: 5 width: 6 }', (1, 4, 5, 6)),
        ('type: "WindowData" transform_param { crop_size: 7 }', (1, 3, 7, 7)),
        ('type: "ImageData" transform_param { crop_h: 4 crop_w: 6 }', (1, 3, 4, 6)),
        (
            'type: "AnnotatedData" transform_param { mean_value: 1 mean_value: 2 mean_value: 3 resize_param { height: 8 width: 9 } '
            "emit_constraint { emit_type: CENTER } } annotated_data_param { batch_sampler { max_sample: 1 } }",
            (1, 3, 8, 9),
        ),
        ('type: "HDF5Data"', (None, None, None, None)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_data_layers_become_inputs_of_batch_1(tmp_path: Path, source: str, shape: tuple) -> None:
    text = f'layer {{ name: "d" {source} top: "data" top: "label" }}' + CONV + LOSS
    net = read_text(tmp_path, text)
    assert net.inputs == {"data": shape}
    assert [item.name for item in net.layers] == ["c"]


def test_transform_param_is_the_recipe(tmp_path: Path) -> None:
    text = (
        'layer { name: "d" type: "Data" top: "data" transform_param { scale: 0.5 mean_value: 7 crop_size: 4 } }' + CONV
    )
    preprocessing = read_text(tmp_path, text).preprocessing
    assert (preprocessing.mean_bgr, preprocessing.scale, preprocessing.crop_hw) == ((7.0,), 0.5, (4, 4))
    with pytest.warns(DongfengWarning, match="mean_file 'm.binaryproto' is not read"):
        read_text(tmp_path, text.replace("mean_value: 7", 'mean_file: "m.binaryproto"'))


def test_labels_and_all_that_reads_them_are_left_out(tmp_path: Path) -> None:
    text = (
        'layer { name: "d" type: "Data" top: "data" top: "label" transform_param { crop_size: 4 } }'
        + CONV
        + layer("shifted", "Power", "label", "shifted", "power_param { shift: 1 }")
        + layer("loss", "SoftmaxWithLoss", "c shifted", "loss")
        + layer("acc", "Accuracy", "c label", "acc")
    )
    assert read_text(tmp_path, text).outputs == ("c",)


def test_a_loss_without_a_data_layer_takes_its_label_input_along(tmp_path: Path) -> None:
    header = 'input: "data" input_dim: 1 input_dim: 3 input_dim: 4 input_dim: 4 '
    net = read_text(
        tmp_path, header + 'input: "label" input_dim: 1 input_dim: 1 input_dim: 1 input_dim: 1 ' + CONV + LOSS
    )
    assert list(net.inputs) == ["data"]
    autoencoder = read_text(tmp_path, data(1, 3, 4, 4) + CONV + layer("l", "EuclideanLoss", "c data", "l"))
    assert autoencoder.outputs == ("c",)
    assert list(autoencoder.inputs) == ["data"]


def test_nothing_but_metrics_is_refused(tmp_path: Path) -> None:
    text = data(2, 3) + layer("a", "Accuracy", "data data", "a")
    with pytest.raises(UnsupportedLayer, match=r'net\.prototxt:2: layer "a" \(Accuracy\): the net has nothing but'):
        read_text(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('input: "data" input_dim: 1 input_dim: 3 ', "1 input and 2 input_dim"),
        ('input: "a" input: "b" input_shape { dim: 1 }', "2 input and 1 input_shape"),
        ('input: "data" input_shape { dim: 1 } input: "data" input_shape { dim: 1 }', "declared twice"),
        (
            'layer { name: "i" type: "Input" top: "a" top: "b" top: "c" input_param { shape { dim: 1 } shape { dim: 2 } } }',
            "3 tops and 2 shapes",
        ),
    ],
)
def test_headers_that_do_not_fit_name_the_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(PrototxtError, match=r"net\.prototxt:1: ") as caught:
        read_text(tmp_path, text + CONV)
    assert message in str(caught.value)


def test_phase_rules_choose_between_layers_of_one_name(tmp_path: Path) -> None:
    text = (
        data(1, 3, 4, 4)
        + layer("p", "Pooling", "data", "p", "pooling_param { kernel_size: 2 } include { phase: TRAIN }")
        + layer("p", "Pooling", "data", "p", "pooling_param { kernel_size: 4 } include { phase: TEST }")
        + layer("s", "ReLU", "p", "s", 'include { stage: "deploy" }')
    )
    assert read_text(tmp_path, text).shapes() == {"data": (1, 3, 4, 4), "p": (1, 3, 1, 1)}
    assert read_text(tmp_path, text, phase="TRAIN", stages=["deploy"]).shapes()["s"] == (1, 3, 3, 3)


def test_unknown_fields_are_all_named_or_warned_of(tmp_path: Path) -> None:
    text = data(1, 3, 4, 4) + layer(
        "p", "Pooling", "data", "p", "pooling_param { kernel_size: 2 ceil: false }\n foo: 3"
    )
    with pytest.raises(PrototxtError) as caught:
        read_text(tmp_path, text)
    assert '"ceil"' in str(caught.value)
    assert '"foo"' in str(caught.value)
    with pytest.warns(DongfengWarning, match="ceil"):
        net = read_text(tmp_path, text, strict=False)
    assert isinstance(net, dongfeng.Net)
