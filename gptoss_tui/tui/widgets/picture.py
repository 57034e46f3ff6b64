"""A picture that a tool has drawn, inside its card."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from textual import work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.events import Resize
from textual.widget import Widget
from textual.widgets import Static

from gptoss_tui.events.printable import printable
from gptoss_tui.tui.pictures import Graphics, PictureError, Pixels, read

PICTURES: Final = frozenset({".png", ".jpg", ".jpeg", ".gif", ".webp"})
# The most rows of a picture, which must not push the answer away.
_TALLEST: Final = 20
# Pixels of a cell where the terminal does not report them: those of a VT340.
_CELL: Final = (10, 20)


class Picture(Vertical):
    """Reads the file when mounted. Shows the picture with its path below, or the path and the error."""

    def __init__(self, path: Path, graphics: Graphics) -> None:
        super().__init__()
        self.path = path
        self._graphics = graphics
        self._pixels: Pixels | None = None
        self._image: Widget | None = None

    def compose(self) -> ComposeResult:
        yield Static(Content(printable(str(self.path))), classes="path")

    def on_mount(self) -> None:
        self._read()

    def on_resize(self, _: Resize) -> None:
        self._fit()

    @work
    async def _read(self) -> None:
        try:
            self._pixels = await read(self.path)
        except PictureError as error:
            why = f"{printable(str(self.path))} cannot be shown: {printable(str(error))}"
            self.query_one(".path", Static).update(Content(why))
            return
        self._image = _image(self._pixels, self._graphics)
        self._fit()
        await self.mount(self._image, before=0)

    def _fit(self) -> None:
        """Give the picture as many cells as it needs, within the card's width and a bounded height."""
        if self._pixels is None or self._image is None:
            return
        across, down = _cell()
        columns, rows = self._pixels.width / across, self._pixels.height / down
        shrunk = min(1.0, max(self.size.width, 1) / columns, _TALLEST / rows)
        self._image.styles.width = max(1, round(columns * shrunk))
        self._image.styles.height = max(1, round(rows * shrunk))


def _image(pixels: Pixels, how: Graphics) -> Widget:
    from PIL import Image as Pillow

    with _no_terminal():
        from textual_image import widget

    kinds: dict[Graphics, type[Widget]]
    kinds = {"kitty": widget.TGPImage, "sixel": widget.SixelImage, "blocks": widget.HalfcellImage}
    picture = Pillow.frombytes("RGB", (pixels.width, pixels.height), pixels.data)
    return kinds[how](picture)  # type: ignore[arg-type]


@contextmanager
def _no_terminal() -> Iterator[None]:
    """Let textual-image be imported while the screen runs.

    On import, textual-image asks the terminal for its abilities, and the answer would be taken for keys. So
    the import sees no terminal, and finds the size of a cell in the environment.
    """
    across, down = _cell()
    os.environ.setdefault("TEXTUAL_CELL_WIDTH", str(across))
    os.environ.setdefault("TEXTUAL_CELL_HEIGHT", str(down))
    stdout = sys.__stdout__
    sys.__stdout__ = io.StringIO()  # type: ignore[misc, assignment]
    try:
        yield
    finally:
        sys.__stdout__ = stdout  # type: ignore[misc]


def _cell() -> tuple[int, int]:
    """The width and the height of a cell in pixels; those of `_CELL` if the terminal reports none."""
    try:
        import fcntl
        import struct
        import termios

        assert sys.__stdout__ is not None
        size = fcntl.ioctl(sys.__stdout__.fileno(), termios.TIOCGWINSZ, bytes(8))
        rows, columns, width, height = struct.unpack("HHHH", size)
        cell = width // columns, height // rows
    except (ImportError, OSError, ValueError, ZeroDivisionError, AssertionError):
        return _CELL
    return cell if min(cell) > 0 else _CELL
