from __future__ import annotations

import warnings

import pytest

from dongfeng.caffe.message import message
from dongfeng.caffe.prototxt import parse, read
from dongfeng.caffe.schema import message_type
from dongfeng.caffe.upgrade import V0_TO_V1, current_type, upgrade
from dongfeng.errors import DongfengWarning, PrototxtError


def test_current_nets_stay_as_they_are(shared):
    for path in sorted((shared / "release/prototxt").iterdir()):
        net = read(path)
        assert upgrade(net) == net


def test_every_v1_type_has_its_name():
    enum = message_type("V1LayerParameter").fields["type"].enum
    assert current_type("NONE") == ""
    # Apart from four, the names are the enum's words without underscores.
    odd = {"HDF5_DATA": "HDF5Data", "HDF5_OUTPUT": "HDF5Output", "SOFTMAX_LOSS": "SoftmaxWithLoss"}
    for name in set(enum) - {"NONE"}:
        assert current_type(name).upper() == odd.get(name, name).replace("_", "").upper()


def test_v1_net_of_the_corpus(shared):
    net = upgrade(read(shared / "golden/cases/v1_net/net.prototxt"))
    expected = parse(
        """
        name: "old" input: "data" input_dim: 2 input_dim: 3 input_dim: 12 input_dim: 14
        layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
          param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
          convolution_param { num_output: 4 kernel_size: 3 pad: 1 group: 1
            weight_filler { type: "gaussian" std: 0.01 } bias_filler { type: "constant" value: 0 } } }
        layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
        layer { name: "norm1" type: "LRN" bottom: "conv1" top: "norm1"
          lrn_param { local_size: 3 alpha: 0.1 beta: 0.75 } }
        layer { name: "pool1" type: "Pooling" bottom: "norm1" top: "pool1"
          pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
        layer { name: "drop" type: "Dropout" bottom: "pool1" top: "pool1" dropout_param { dropout_ratio: 0.5 } }
        layer { name: "fc" type: "InnerProduct" bottom: "pool1" top: "fc" param { lr_mult: 1 } param { lr_mult: 2 }
          inner_product_param { num_output: 6 } }
        layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
        """
    )
    assert net == expected
    assert [layer.line() for layer in net.layer] == [3, 5, 6, 7, 8, 9, 10]
    assert net.layer[0].line("convolution_param") == 4


def test_v0_net_of_the_corpus(shared):
    net = upgrade(read(shared / "golden/cases/v0_net/net.prototxt"))
    expected = parse(
        """
        name: "older" input: "data" input_dim: 2 input_dim: 3 input_dim: 12 input_dim: 14
        layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
          param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
          convolution_param { num_output: 4 kernel_size: 3 stride: 2 pad: 1
            weight_filler { type: "gaussian" std: 0.01 } bias_filler { type: "constant" } } }
        layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
        layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
          pooling_param { pool: AVE kernel_size: 3 stride: 2 } }
        layer { name: "norm1" type: "LRN" bottom: "pool1" top: "norm1"
          lrn_param { local_size: 3 alpha: 0.2 beta: 0.75 } }
        layer { name: "drop" type: "Dropout" bottom: "norm1" top: "norm1" dropout_param { dropout_ratio: 0.5 } }
        layer { name: "fc" type: "InnerProduct" bottom: "norm1" top: "fc" inner_product_param { num_output: 6 } }
        layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
        """
    )
    assert net == expected
    assert net.layer[0].line() == 4


def test_v1_weight_lists_rules_and_sharing():
    net = upgrade(
        parse(
            'layers { name: "a" type: RELU param: "w" blob_share_mode: PERMISSIVE blobs_lr: 1 blobs_lr: 2 blobs_lr: 3'
            " weight_decay: 0.5 include { phase: TEST } exclude { stage: 'x' } loss_weight: 2 }"
        )
    )
    assert net == parse(
        'layer { name: "a" type: "ReLU" loss_weight: 2 include { phase: TEST } exclude { stage: "x" }'
        ' param { name: "w" share_mode: PERMISSIVE lr_mult: 1 decay_mult: 0.5 }'
        " param { lr_mult: 2 } param { lr_mult: 3 } }"
    )


@pytest.mark.parametrize(
    ("enum", "parameter"),
    [("DATA", "data_param"), ("IMAGE_DATA", "image_data_param"), ("WINDOW_DATA", "window_data_param")],
)
def test_v1_data_layers_get_a_transform_param(enum, parameter):
    net = upgrade(
        parse(
            f'layers {{ name: "d" type: {enum} transform_param {{ mean_value: 3 }}'
            f' {parameter} {{ source: "s" batch_size: 2 scale: 0.5 mean_file: "m" crop_size: 7 mirror: true }} }}'
        )
    )
    assert net.layer[0] == message(
        "LayerParameter",
        name="d",
        type=current_type(enum),
        transform_param={"mean_value": 3, "scale": 0.5, "mean_file": "m", "crop_size": 7, "mirror": True},
        **{parameter: {"source": "s", "batch_size": 2}},
    )


def v0(fields: str) -> str:
    return f"layers {{ layer {{ {fields} }} }}"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('type: "accuracy"', 'type: "Accuracy"'),
        ('type: "concat" concat_dim: 2', 'type: "Concat" concat_param { concat_dim: 2 }'),
        ('type: "softmax_loss"', 'type: "SoftmaxWithLoss"'),
        (
            'type: "conv" num_output: 2 biasterm: false group: 2 pad: 1 stride: 3 kernelsize: 5',
            'type: "Convolution" convolution_param {'
            " num_output: 2 bias_term: false group: 2 pad: 1 stride: 3 kernel_size: 5 }",
        ),
        (
            'type: "pool" pool: STOCHASTIC pad: 1 stride: 3 kernelsize: 5',
            'type: "Pooling" pooling_param { pool: STOCHASTIC pad: 1 stride: 3 kernel_size: 5 }',
        ),
        ('type: "lrn" alpha: 2 beta: 3 k: 4', 'type: "LRN" lrn_param { alpha: 2 beta: 3 k: 4 }'),
        (
            'type: "data" source: "s" batchsize: 3 rand_skip: 4 scale: 0.5 meanfile: "m" cropsize: 6 mirror: true',
            'type: "Data" data_param { source: "s" batch_size: 3 rand_skip: 4 }'
            ' transform_param { scale: 0.5 mean_file: "m" crop_size: 6 mirror: true }',
        ),
        (
            'type: "images" source: "s" shuffle_images: true new_height: 5 new_width: 6',
            'type: "ImageData" image_data_param { source: "s" shuffle: true new_height: 5 new_width: 6 }',
        ),
        (
            'type: "window_data" det_fg_threshold: 0.1 det_bg_threshold: 0.2 det_fg_fraction: 0.3 det_context_pad: 4'
            ' det_crop_mode: "square"',
            'type: "WindowData" window_data_param {'
            ' fg_threshold: 0.1 bg_threshold: 0.2 fg_fraction: 0.3 context_pad: 4 crop_mode: "square" }',
        ),
        (
            'type: "hdf5_output" hdf5_output_param { file_name: "f" }',
            'type: "HDF5Output" hdf5_output_param { file_name: "f" }',
        ),
        ('type: "infogain_loss" source: "s"', 'type: "InfogainLoss" infogain_loss_param { source: "s" }'),
        ('type: "dropout" dropout_ratio: 0.3', 'type: "Dropout" dropout_param { dropout_ratio: 0.3 }'),
    ],
)
def test_v0_fields_move_to_their_messages(old, new):
    assert upgrade(parse(v0(old))) == parse(f"layer {{ {new} }}")


def test_every_v0_type_and_field_is_known():
    assert len(V0_TO_V1) == 24
    fields = set(message_type("V0LayerParameter").fields) - {"name", "type", "blobs", "new_num", "new_channels"}
    for name in fields - {"weight_filler", "bias_filler", "hdf5_output_param", "blobs_lr", "weight_decay"}:
        field = message_type("V0LayerParameter").fields[name]
        value = {"string": '"s"', "bool": "true", "enum": "AVE"}.get(field.kind, "1")
        takers = []
        for type_ in V0_TO_V1:
            with warnings.catch_warnings(record=True) as ignored:
                warnings.simplefilter("always")
                upgrade(parse(v0(f'type: "{type_}" {name}: {value}')))
            takers += [] if ignored else [type_]
        assert takers, name


def test_v0_fields_of_another_type_are_warned_of():
    with pytest.warns(DongfengWarning, match=r'net.prototxt:1: layer "r" \(relu\): stride, local_size ignored'):
        net = upgrade(parse(v0('name: "r" type: "relu" stride: 2 local_size: 3')), filename="net.prototxt")
    assert net == parse('layer { name: "r" type: "ReLU" }')


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (v0('name: "x" type: "convx"'), 'net.prototxt:1: layer "x": there is no V0 layer type "convx"'),
        (
            'layers { top: "p" bottom: "d" layer { name: "pad" type: "padding" } }\n'
            'layers { bottom: "p" layer { name: "r" type: "relu" } }',
            r'net.prototxt:2: layer "r" \(relu\) reads the padding layer "pad"; only a conv or pool layer',
        ),
        (
            'layers { top: "p" layer { name: "pad" type: "padding" } }',
            'net.prototxt:1: padding layer "pad" needs one bottom and one top',
        ),
    ],
)
def test_v0_nets_that_caffe_refuses(text, problem):
    with pytest.raises(PrototxtError, match=problem):
        upgrade(parse(text), filename="net.prototxt")


def test_padding_counts_for_each_reader_and_only_until_the_blob_is_made_again():
    net = upgrade(
        parse(
            'layers { bottom: "d" top: "p" layer { name: "pad" type: "padding" pad: 2 } }'
            'layers { bottom: "p" top: "c" layer { name: "c" type: "conv" } }'
            'layers { bottom: "p" top: "p" layer { name: "m" type: "pool" } }'
            'layers { bottom: "p" top: "x" layer { name: "x" type: "conv" } }'
        )
    )
    assert [layer.bottom for layer in net.layer] == [("d",), ("d",), ("p",)]
    assert [layer.convolution_param.pad for layer in net.layer] == [(2,), (), ()]
    assert net.layer[1].pooling_param.pad == 2


@pytest.mark.parametrize(("count", "left"), [(3, 0), (2, 2)])
def test_three_old_params_of_batch_norm_are_dropped(count, left):
    net = upgrade(parse(f'layer {{ type: "BatchNorm" {"param { lr_mult: 0 }" * count} }}'))
    assert len(net.layer[0].param) == left


def test_layer_and_layers_in_one_file_are_refused(shared):
    path = shared / "golden/rejects/layer_and_layers/net.prototxt"
    with pytest.raises(PrototxtError, match=r'net.prototxt:2: both "layer" \(line 2\) and "layers" \(line 1\)'):
        upgrade(read(path), filename=str(path))
