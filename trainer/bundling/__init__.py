"""A certified bundle from ONNX files in a run folder; needs no training library."""
