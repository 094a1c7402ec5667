"""Read and write ncnn networks and weights.

Reading: `param` and `types` know the network file, `layers`, `convolution` and `pooling` convert ncnn's layers to
Caffe's, `graph` puts them together, `weights` knows the weight file, `read` has both. Writing: `emit_layers` and
`emit_pooling` convert Caffe's layers to ncnn's, `emitted` knows both files, `write` has all of it. `archive` packs a
network into one file for the cache.
"""

from dongfeng.formats.ncnn.archive import weights_beside
from dongfeng.formats.ncnn.read import read_ncnn
from dongfeng.formats.ncnn.weights import load_ncnn_weights
from dongfeng.formats.ncnn.write import write_ncnn

__all__ = ["load_ncnn_weights", "read_ncnn", "weights_beside", "write_ncnn"]
