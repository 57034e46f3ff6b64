"""Pictures that the model's code has drawn: read in a process of their own, and drawn as the terminal can."""

from .reader import PictureError, Pixels, read
from .terminal import Graphics, graphics

__all__ = ["Graphics", "PictureError", "Pixels", "graphics", "read"]
