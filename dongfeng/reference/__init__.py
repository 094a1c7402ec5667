"""Caffe's forward arithmetic in NumPy, layer by layer: the oracle behind `dongfeng convert --verify`.

It is written from Caffe's documented behaviour and shares no code with the layers and converters, so that no mistake of
theirs can be its own. Matrix products run in single precision, as in Caffe; nearly everything else runs in double
precision and is rounded once.

    >>> import dongfeng, dongfeng.reference
    >>> net = dongfeng.read_caffe("deploy.prototxt", "weights.caffemodel")  # doctest: +SKIP
    >>> blobs = dongfeng.reference.run(net, {"data": image})  # doctest: +SKIP
"""

from dongfeng.reference import (  # noqa: F401  importing a family registers its types
    arithmetic,
    convolution,
    detection,
    neurons,
    normalization,
    pooling,
    recurrent,
    resizing,
    shaping,
    statistics,
)
from dongfeng.reference.interpreter import run, run_layer
from dongfeng.reference.registry import supported_types

__all__ = ["run", "run_layer", "supported_types"]
