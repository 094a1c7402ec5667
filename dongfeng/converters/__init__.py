"""Between a `Net` (or its ONNX) and everything else."""
