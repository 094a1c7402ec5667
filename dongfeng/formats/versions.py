"""Versions of the files that `formats.onnx` writes, apart from it, so that a cache is asked without its layers."""

CONVERTER_VERSION = 1  # raised whenever the same net gives another model: caches depend on it
OPSET = 17  # of models that nothing else is asked of
