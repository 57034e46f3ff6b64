"""What the model may do. Knows no model and no screen."""

from .tool import Output, Tool

__all__ = ["Output", "Tool"]
