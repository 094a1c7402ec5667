"""One class per Caffe layer type: its output shape, its cost and its ONNX nodes, found by a registry."""

from dongfeng.caffe.declare import declare_params
from dongfeng.layers import (  # noqa: F401  importing a family registers its types
    channels,
    constants,
    convolution,
    elementwise,
    forks,
    heads,
    interp,
    lookup,
    neurons,
    normalization,
    pooling,
    recurrent,
    reshaping,
    ssd,
    statistics,
)
from dongfeng.layers.base import LayerType, register, registered_types

__all__ = ["LayerType", "declare_params", "register", "registered_types"]
