"""Build a TensorRT or TensorRT-RTX engine of an ONNX file, a Caffe network or a zoo name.

python converters/onnx_to_tensorrt.py net.onnx -o net.engine --precision fp16

The same as `dongfeng convert`; its --help lists the options.
"""

import sys

from dongfeng.cli.main import main

raise SystemExit(main(["convert", *sys.argv[1:]]))
