"""Convert a Caffe network to ONNX, BatchNorm and Scale merged into the layers before them.

python converters/caffe_to_onnx.py deploy.prototxt net.caffemodel -o net.onnx

The same as `dongfeng convert`; its --help lists the options.
"""

import sys

from dongfeng.cli.main import main

raise SystemExit(main(["convert", *sys.argv[1:]]))
