"""Models and data in files: Torch7's ``.t7``, safetensors with the graph, ``.npz``, ONNX."""
