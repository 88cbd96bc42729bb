"""ONNX files as torch modules: `load`. The official onnx package reads and checks them; see docs/decisions/0006."""

from galton.onnx_files.reading import load

__all__ = ["load"]
