"""Functions from a Python file of the person's own, as tools."""

from .load import FunctionsError, FunctionTool, Worker, load_functions

__all__ = ["FunctionTool", "FunctionsError", "Worker", "load_functions"]
