"""What the model may do. Knows no model and no screen."""

from .source import Opened, Source, SourceError
from .tool import Output, Reach, Risk, Tool

__all__ = ["Opened", "Output", "Reach", "Risk", "Source", "SourceError", "Tool"]
