"""Pictures of tools on the screen."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gptoss_tui.tools import Output, Tool
from gptoss_tui.tui.widgets.picture import Picture

StageMaker = Callable[..., Any]

CALL = " to=functions.paint<|channel|>commentary <|constrain|>json<|message|>{}<|call|>"
ANSWER = "<|channel|>final<|message|>Done.<|return|>"


class Paint(Tool):
    """Names files as what it has drawn."""

    name = "functions.paint"

    def __init__(self, *files: Path) -> None:
        self._files = files

    async def call(self, arguments: str) -> AsyncGenerator[Output, None]:
        yield Output("[image/png, saved as picture-1.png]\n", files=self._files)


@pytest.fixture
def flag(tmp_path: Path) -> Path:
    file = tmp_path / "flag.png"
    image = Image.new("RGB", (200, 120), (255, 0, 0))
    image.paste((0, 0, 255), (100, 0, 200, 120))
    image.save(file)
    return file


@pytest.mark.parametrize("size", [(100, 50), (30, 20)])
async def test_a_picture_is_drawn_in_the_card(stage: StageMaker, flag: Path, size: tuple[int, int]) -> None:
    terminal = dict(os.environ)
    async with stage(CALL, ANSWER, tools=[Paint(flag)], size=size) as s:
        await s.ready()
        await s.say("paint")
        await s.until_shown("Done.")
        picture = s.app.screen.query_one(Picture)
        await s.until(lambda: len(picture.children) == 2 and picture.children[0].size.height)
        image, path = picture.children
        # 200 x 120 pixels in cells of 10 x 20, unless the card is narrower.
        width = min(20, picture.size.width)
        assert (image.size.width, image.size.height) == (width, round(width * 6 / 20))
        await s.until_shown("flag.png")
        await s.until(lambda: "▀" in s.screen)
        svg = s.app.export_screenshot()
        assert re.search(r"fill: ?#ff0000|#ff0000", svg)
        assert re.search(r"fill: ?#0000ff|#0000ff", svg)
        assert path.size.height >= 1
    for name in ("TEXTUAL_CELL_WIDTH", "TEXTUAL_CELL_HEIGHT"):
        os.environ.pop(name, None) if name not in terminal else None


async def test_a_picture_that_cannot_be_read_is_named(stage: StageMaker, tmp_path: Path) -> None:
    bad = tmp_path / "bad\u202e.png"
    bad.write_bytes(b"no picture")
    async with stage(CALL, ANSWER, tools=[Paint(bad)], size=(200, 30)) as s:
        await s.ready()
        await s.say("paint")
        await s.until_shown("cannot be shown: it is no PNG")
        assert "\u202e" not in s.screen


async def test_other_files_are_not_drawn(stage: StageMaker, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("a,b\n")
    async with stage(CALL, ANSWER, tools=[Paint(tmp_path / "table.csv")]) as s:
        await s.ready()
        await s.say("paint")
        await s.until_shown("Done.")
        assert not s.app.screen.query(Picture)
