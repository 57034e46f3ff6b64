"""Draw docs/screenshot.svg from a real session: the application, the embedded model, a Python call.

Run by `make screenshot`. Nothing in the picture is written by hand: with another checkpoint it is another.
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import monotonic

from textual.app import App
from textual.pilot import Pilot

from gptoss_tui.assemble.assemble import open_session
from gptoss_tui.settings import Settings
from gptoss_tui.tui.app import ChatApp

PICTURE = Path(__file__).with_name("screenshot.svg")
SAID = ("Hello, I am Ada.", "What is 417 * 38?")
PATIENCE_S = 120


async def draw() -> None:
    """Have the session and save its last frame."""
    settings = Settings(temperature=0.0)
    app = ChatApp(lambda person: open_session(settings, person), model=settings.model, effort=settings.effort)
    async with app.run_test(size=(92, 30)) as pilot:
        await until(pilot, lambda: "● ready" in shown(app))
        for number, message in enumerate(SAID, 1):
            await pilot.press(*("space" if character == " " else character for character in message), "enter")
            await until(pilot, lambda turns=number: shown(app).count("effort medium ·") == turns)
        await until(pilot, lambda: "● ready" in shown(app))
        PICTURE.write_text(app.export_screenshot(title="gptoss-chat"))


def shown(app: App[None]) -> str:
    """The text on the screen."""
    return re.sub("<[^>]*>", "", app.export_screenshot()).replace("&#160;", " ")


async def until(pilot: Pilot[None], predicate: Callable[[], bool]) -> None:
    """Let the application run until `predicate()` holds."""
    deadline = monotonic() + PATIENCE_S
    while not predicate():
        if monotonic() > deadline:
            raise SystemExit(f"the session did not come to its end:\n{shown(pilot.app)}")
        await pilot.pause(0.1)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_DATA_HOME"] = folder  # the session is not one to resume
        asyncio.run(draw())
