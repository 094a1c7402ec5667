from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings

from dongfeng.caffe.message import Message, message
from dongfeng.caffe.prototxt import parse
from dongfeng.caffe.schema import message_type, message_type_names
from dongfeng.errors import PrototxtError
from tests.caffe.oracle import random_fields


def test_unset_fields_read_as_the_schema_default():
    layer = message("LayerParameter")
    assert layer.name == ""
    assert layer.bottom == ()
    assert layer.phase == "TRAIN"
    assert layer.pooling_param.pool == "MAX"
    assert layer.pooling_param.stride == 1
    assert layer.batch_norm_param.eps == np.float32(1e-5)
    assert layer.interp_param.align_corners is True
    assert "pooling_param" not in layer


def test_set_fields_are_converted_and_reported():
    conv = message(
        "ConvolutionParameter", num_output=np.int64(64), kernel_size=3, stride=[1, 2], weight_filler={"std": 0.1}
    )
    assert (conv.num_output, conv.kernel_size, conv.stride) == (64, (3,), (1, 2))
    assert conv.weight_filler.std == np.float32(0.1)
    assert list(conv) == ["num_output", "kernel_size", "stride", "weight_filler"]
    assert conv.has("stride")
    assert "axis" not in conv
    assert conv.line("stride") is None


def test_a_field_set_to_its_default_is_set_but_means_nothing():
    explicit = message("ConvolutionParameter", axis=1, bias_term=True, weight_filler={}, pad=[])
    assert explicit.has("axis")
    assert not explicit.has("pad")
    assert explicit == message("ConvolutionParameter")
    assert hash(explicit) == hash(message("ConvolutionParameter"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (message("ConvolutionParameter"), message("ConvolutionParameter", num_output=1)),
        (message("ConvolutionParameter", stride=1), message("ConvolutionParameter")),
        (message("ConvolutionParameter", stride=[1]), message("ConvolutionParameter", stride=[1, 1])),
        (message("InputParameter", shape=[{}]), message("InputParameter")),
        (message("ReLUParameter"), message("TanHParameter")),
        (message("LayerParameter", relu_param={"negative_slope": 1}), message("LayerParameter")),
    ],
)
def test_different_meanings_are_not_equal(one, other):
    assert one != other


def test_order_and_lines_do_not_count():
    one = parse('layer { name: "a" type: "ReLU" }').layer[0]
    other = parse('\n\nlayer {\n type: "ReLU"\n name: "a" }').layer[0]
    assert one == other
    assert (one.line("type"), other.line("type")) == (1, 4)


def test_nan_settings_are_equal():
    assert message("PowerParameter", shift=float("nan")) == message("PowerParameter", shift=float("nan"))


def test_messages_are_immutable():
    layer = message("LayerParameter", name="a")
    with pytest.raises(AttributeError, match=r"immutable; use replace\(name=...\)"):
        layer.name = "b"
    with pytest.raises(AttributeError, match="immutable"):
        del layer.name


def test_replace_sets_and_removes():
    layer = parse('layer { name: "a"\n type: "ReLU" }').layer[0]
    new = layer.replace(name="b", top="t", type=None)
    assert (new.name, new.top, new.has("type")) == ("b", ("t",), False)
    assert (new.line(), new.line("name"), new.line("type")) == (1, None, None)
    assert layer.name == "a"


def test_copies_and_pickles_are_equal_and_keep_lines():
    net = parse('\nlayer { name: "a" convolution_param { num_output: 3 } }')
    again = pickle.loads(pickle.dumps(net))
    assert again == net
    assert again.layer[0].line("convolution_param") == 2
    assert copy.deepcopy(net) == copy.copy(net) == net


def test_unknown_attribute_names_the_message_and_the_closest_field():
    with pytest.raises(AttributeError, match='PoolingParameter has no field "kernel_sise", did you mean "kernel_size"'):
        _ = message("PoolingParameter").kernel_sise
    with pytest.raises(AttributeError, match="has no field"):
        _ = "kernel" in message("PoolingParameter")


@pytest.mark.parametrize(
    ("type_name", "fields", "problem"),
    [
        ("PoolParameter", {}, 'no message "PoolParameter", did you mean "PoolingParameter"?'),
        ("PoolingParameter", {"kernel": 3}, 'PoolingParameter has no field "kernel"'),
        ("PoolingParameter", {"pool": "AVG"}, "expected one of MAX, AVE, STOCHASTIC, got 'AVG'"),
        ("PoolingParameter", {"pool": 7}, "expected one of MAX, AVE, STOCHASTIC, got 7"),
        ("PoolingParameter", {"stride": -1}, "expected an integer from 0 to 4294967295, got -1"),
        ("PoolingParameter", {"stride": 1.0}, "expected an integer, got 1.0"),
        ("PoolingParameter", {"stride": True}, "expected an integer"),
        ("PoolingParameter", {"global_pooling": 1}, "expected True or False, got 1"),
        ("ReLUParameter", {"negative_slope": "1"}, "expected a number, got '1'"),
        ("ReLUParameter", {"negative_slope": True}, "expected a number, got True"),
        ("LayerParameter", {"name": b"a"}, "LayerParameter.name: expected str, got b'a'"),
        ("LayerParameter", {"relu_param": 3}, "expected ReLUParameter or a dict, got 3"),
        ("LayerParameter", {"relu_param": message("TanHParameter")}, "expected ReLUParameter or a dict, got TanH"),
        ("LayerParameter", {"relu_param": {"x": 3}}, 'ReLUParameter has no field "x"'),
    ],
)
def test_wrong_values_are_refused_in_one_line(type_name, fields, problem):
    with pytest.raises(PrototxtError) as caught:
        message(type_name, **fields)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_enum_by_number_and_none_for_unset():
    assert message("PoolingParameter", pool=1, stride=None) == message("PoolingParameter", pool="AVE")


def test_repr_stays_short():
    net = message("NetParameter", name="n", layer=[{"name": str(i)} for i in range(500)])
    assert repr(net) == "NetParameter(name='n', layer=<500 x LayerParameter>)"
    assert len(repr(message("LayerParameter", name="x" * 500))) < 120


def test_no_field_hides_behind_a_method():
    methods = {name for name in vars(Message) if not name.startswith("_")}
    for name in message_type_names():
        assert not methods & set(message_type(name).fields)


@settings(max_examples=60, deadline=None)
@given(random_fields("LayerParameter"))
def test_replacing_a_field_by_itself_changes_nothing(fields):
    layer = message("LayerParameter", **fields)
    assert layer.replace(**dict(layer.items())) == layer == message("LayerParameter", **dict(reversed(fields.items())))
