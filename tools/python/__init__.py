"""The python tool: a Jupyter kernel that keeps its state for the length of a conversation."""

from .tool import PythonTool

__all__ = ["PythonTool"]
