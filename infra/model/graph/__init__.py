"""What an ONNX file says without being run: its tensors, operators, and limits on values."""
