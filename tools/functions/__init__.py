"""The person's own functions as tools: from a file, a module or a package, or a callable of this process."""

from .load import Functions, FunctionsError, FunctionTool, Worker, load_functions
from .local import CallableTool

__all__ = [
    "CallableTool",
    "FunctionTool",
    "Functions",
    "FunctionsError",
    "Worker",
    "load_functions",
]
