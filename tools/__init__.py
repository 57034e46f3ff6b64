"""What the model may do. Knows no model and no screen."""

from .tool import Output, Reach, Risk, Tool

__all__ = ["Output", "Reach", "Risk", "Tool"]
