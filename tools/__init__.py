"""The tools that a model may call. They know no model and no screen."""

from .source import OpenedSource, Source, SourceError
from .tool import Output, Reach, Risk, Tool

__all__ = ["OpenedSource", "Output", "Reach", "Risk", "Source", "SourceError", "Tool"]
