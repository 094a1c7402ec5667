"""ONNX to ONNX: input arithmetic and labels in the graph, quantization."""
