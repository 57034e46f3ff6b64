"""Pictures into plain pixels, whatever the file holds."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from gptoss_tui.tui.pictures import PictureError, Pixels, graphics, read
from gptoss_tui.tui.pictures.reader import LARGEST
from gptoss_tui.tui.pictures.worker import Unreadable, pixels

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def colours(picture: Pixels) -> set[tuple[int, ...]]:
    return {tuple(picture.data[at : at + 3]) for at in range(0, len(picture.data), 3)}


@pytest.mark.parametrize("ending", ["png", "gif", "webp"])
async def test_a_picture_is_read_as_it_is(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"p.{ending}"
    image = Image.new("RGB", (4, 2), RED)
    image.paste(BLUE, (2, 0, 4, 2))
    image.save(file, lossless=True)
    assert await read(file) == Pixels(4, 2, bytes([*RED, *RED, *BLUE, *BLUE]) * 2)


async def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    for mode, clear in (("RGBA", (9, 9, 9, 0)), ("LA", (9, 0))):
        Image.new(mode, (3, 3), clear).save(tmp_path / "p.png")
        assert colours(await read(tmp_path / "p.png")) == {WHITE}


async def test_large_pictures_are_scaled_down(tmp_path: Path) -> None:
    Image.new("RGB", (3000, 30), RED).save(tmp_path / "p.png")
    picture = await read(tmp_path / "p.png")
    assert (picture.width, picture.height) == (LARGEST, 10)
    assert len(picture.data) == 3 * LARGEST * 10


def png(width: int, height: int, body: bytes) -> bytes:
    """A PNG that claims any size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "it is no PNG, JPEG, GIF or WEBP picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "it is no PNG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "it is no PNG"),
        (png(60_000, 60_000, zlib.compress(bytes(1000))), "more than 50 million pixels"),
        (png(7_000, 7_000, zlib.compress(bytes(1000))), "damaged"),
        (png(0, 5, b""), "it is no PNG"),
    ],
)
async def test_what_cannot_be_shown_is_said(tmp_path: Path, data: bytes, why: str) -> None:
    (tmp_path / "p.png").write_bytes(data)
    with pytest.raises(PictureError, match=why):
        await read(tmp_path / "p.png")


async def test_only_files_are_opened(tmp_path: Path) -> None:
    Image.new("RGB", (4, 2), RED).save(tmp_path / "real.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "real.png")
    os.mkfifo(tmp_path / "pipe.png")
    for name in ("link.png", "pipe.png", "gone.png", "."):
        with pytest.raises(PictureError):
            await read(tmp_path / name)
    with (tmp_path / "huge.png").open("wb") as file:
        file.truncate(10**9)
    with pytest.raises(PictureError, match="more than 50 MB"):
        await read(tmp_path / "huge.png")


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8))
def test_no_damage_does_more_than_be_told(edits: list[tuple[int, int]]) -> None:
    for whole in WHOLE:
        data = bytearray(whole)
        for at, value in edits:
            data[at % len(data)] = value
        try:
            width, height, rgb = pixels(bytes(data), 64)
        except (Unreadable, OSError, ValueError, SyntaxError, MemoryError, EOFError):
            continue  # the process ends, and the reader says that the file is damaged
        assert len(rgb) == 3 * width * height
        assert max(width, height) <= 64


def encoded() -> list[bytes]:
    import io

    image = Image.linear_gradient("L").resize((40, 30)).convert("RGB")
    files = []
    for kind in ("PNG", "JPEG", "GIF", "WEBP"):
        file = io.BytesIO()
        image.save(file, kind)
        files.append(file.getvalue())
    return files


WHOLE = encoded()


@pytest.mark.parametrize(
    ("environment", "how"),
    [
        ({}, "blocks"),
        ({"TERM": "xterm-256color"}, "blocks"),
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM": "xterm-ghostty"}, "kitty"),
        ({"TERM": "foot-extra"}, "sixel"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "sixel"),
        ({"TERM": "xterm-256color", "KONSOLE_VERSION": "230800"}, "sixel"),
        ({"TERM": "xterm-256color", "KONSOLE_VERSION": "210800"}, "blocks"),
        ({"TERM": "xterm-256color", "KONSOLE_VERSION": "new"}, "blocks"),
        ({"TERM": "tmux-256color", "KITTY_WINDOW_ID": "1"}, "blocks"),
        ({"TERM": "xterm-256color", "TMUX": "/tmp/x", "TERM_PROGRAM": "WezTerm"}, "blocks"),
        ({"TERM": "screen.xterm-256color"}, "blocks"),
    ],
)
def test_the_terminal_is_known_by_its_environment(environment: dict[str, str], how: str) -> None:
    assert graphics(environment) == how
