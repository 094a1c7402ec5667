"""Write an ncnn network, text or binary, as a Caffe prototxt and caffemodel.

python converters/ncnn_to_caffe.py net.param net.bin -o net.caffemodel

The same as `dongfeng convert`; its --help lists the options.
"""

import sys

from dongfeng.cli.main import main

raise SystemExit(main(["convert", *sys.argv[1:]]))
