"""Between a `Net` and somebody's files or modules: Caffe, ONNX, ncnn, PyTorch."""
