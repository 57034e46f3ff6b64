"""Pictures that code of the model's has drawn: read out of harm's way, and how a terminal can show them."""

from .reader import PictureError, Pixels, read
from .terminal import Graphics, graphics

__all__ = ["Graphics", "PictureError", "Pixels", "graphics", "read"]
