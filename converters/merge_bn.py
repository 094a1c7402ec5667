"""Merge BatchNorm and Scale into the convolution or inner product before them; writes both Caffe files.

python converters/merge_bn.py deploy.prototxt net.caffemodel -o net_mergebn.caffemodel

The same as `dongfeng convert --fold`; its --help lists the options.
"""

import sys

from dongfeng.cli.main import main

raise SystemExit(main(["convert", "--fold", *sys.argv[1:]]))
