"""The person's own functions as tools: from a file, a module or a package, or a callable of this process."""

from .load import Functions, FunctionTool, load_functions
from .local import CallableTool
from .process import FunctionsError, FunctionsProcess

__all__ = [
    "CallableTool",
    "FunctionTool",
    "Functions",
    "FunctionsError",
    "FunctionsProcess",
    "load_functions",
]
