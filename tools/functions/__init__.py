"""Functions from a Python file of the person's own, as tools."""

from .load import FunctionsError, FunctionTool, load_functions

__all__ = ["FunctionTool", "FunctionsError", "load_functions"]
