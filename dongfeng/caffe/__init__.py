"""Caffe's file formats and nothing else: prototxt and caffemodel, their schema, upgrades and phase rules."""
