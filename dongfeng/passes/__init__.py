"""Passes from ONNX model to ONNX model: input arithmetic and labels in the graph, quantization."""
