"""The base of all editors."""

from __future__ import annotations

from textual.geometry import Region
from textual.strip import Strip
from textual.widgets import TextArea


class Editor(TextArea):
    """A text area that is drawn only while it belongs to the screen.

    Textual draws a removed widget once more when another widget changes before the next layout. By then the
    removed widget has lost the styles that a text area looks up.
    """

    def render_lines(self, crop: Region) -> list[Strip]:
        return super().render_lines(crop) if self.is_attached else [Strip.blank(crop.width)] * crop.height

    def render_line(self, y: int) -> Strip:
        return super().render_line(y) if self.is_attached else Strip.blank(self.size.width)
