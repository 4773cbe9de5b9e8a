"""From ONNX files in a run folder to a certified bundle; needs no training library."""
