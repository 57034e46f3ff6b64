"""A conversation that cannot be saved: said in a line that stays until it can be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Button

from gptoss_tui.history.archive import Archive
from gptoss_tui.history.store import Store

ANSWER = "<|channel|>final<|message|>Hello there.<|return|>"
CALL = ' to=functions.repeat<|channel|>commentary <|constrain|>json<|message|>{"text": "x"}<|call|>'


async def test_it_is_said_in_mid_turn_and_stays_until_it_is_over(
    stage: Any, repeat: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gptoss_tui.tui.widgets.prompt.GRACE_S", 0.0)
    folder, aside = tmp_path / "data", tmp_path / "aside"
    store = Store(folder / "s.sqlite3")
    async with stage(CALL, CALL, ANSWER, ANSWER, tools=[repeat()], store=store, max_tool_calls=1) as s:
        await s.ready()
        await s.say("hi")
        await s.until_shown("Shall it go on?")
        assert "Not saved" not in s.screen
        folder.rename(aside)
        folder.write_text("in the way")
        await s.until(lambda: isinstance(s.app.focused, Button))
        await s.pilot.press("c")
        await s.until_shown("The model has made 2 calls")
        await s.until_shown("× Not saved, and tried again until it is:")
        await s.until(lambda: isinstance(s.app.focused, Button))
        await s.pilot.press("c")
        await s.until_shown("Hello there.")
        await s.ready()
        assert "Not saved" in s.screen
        await s.say("/new")
        await s.until_shown("Message scripted")
        await s.say("again")
        await s.until_shown("▌ again")
        await s.ready()
        assert s.screen.count("Not saved") == 1, "a line of its own, and no note in every turn"
        assert s.app.resume_id is None
        folder.unlink()
        aside.rename(folder)
        await s.until(lambda: "Not saved" not in s.screen)
        assert s.app.resume_id is not None
        assert s.app.lost == ""
    summaries, _ = Archive(store.file).summaries()
    assert [one.messages for one in summaries] == [2, 6]
