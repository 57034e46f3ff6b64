"""What has been taken off the screen is not drawn any more, wherever Textual still has it in its layout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from textual.geometry import Offset, Region
from textual.widget import Widget
from textual.widgets import TextArea

from gptoss_tui.permissions.question import Question
from gptoss_tui.tui.widgets.approval_prompt import ApprovalPrompt
from gptoss_tui.tui.widgets.composer import Composer
from gptoss_tui.tui.widgets.line_editor import LineEditor
from gptoss_tui.tui.widgets.transcript import Transcript

SAYS_MUCH = (
    "<|channel|>analysis<|message|>Think.<|end|><|start|>assistant<|channel|>final<|message|># Title\n\n"
    "A *paragraph* with `code`, **more** and a [link](https://example.org).\n\n- one\n- two\n\n> said\n\n"
    "| a | b |\n|---|---|\n| 1 | 2 |\n\n```python\nprint(1)\n```\n<|return|>"
)


class Written(Composer):
    """A composer with something in it; the other one shows its placeholder."""

    def on_mount(self) -> None:
        self.text = "written"


def _long_call(repeat: Any) -> ApprovalPrompt:
    arguments = "\n".join(f"line {number}" for number in range(400))
    return ApprovalPrompt(Question("1", "python", repeat(must_ask=True), arguments))


EDITORS: dict[str, Callable[[Any], Widget]] = {
    "composer": lambda _: Composer(lambda: None),
    "composer with text": lambda _: Written(lambda: None),
    "reason": lambda _: LineEditor("", "why?"),
    "arguments to mend": lambda _: LineEditor('{"text": 1}', "edit"),
    "long call": _long_call,
}


@pytest.mark.parametrize("kind", EDITORS)
async def test_an_editor_that_was_removed_is_not_drawn(kind: str, stage: Any, repeat: Any) -> None:
    async with stage() as s:
        await s.ready()
        screen = s.app.screen
        removed = EDITORS[kind](repeat)
        await screen.query_one(Transcript).mount(removed)
        if isinstance(removed, Composer):
            removed.placeholder = "Message"
        editor = removed.query(TextArea).first() if removed.query(TextArea) else removed
        await s.until(lambda: editor in screen._compositor.visible_widgets)
        width, height = editor.size
        assert any(strip.text.strip() for strip in editor.render_lines(Region(0, 0, width, height)))
        where = screen.find_widget(editor).region.offset + Offset(1, 0)
        with s.app.batch_update():  # no layout comes between
            await removed.remove()
            assert editor in screen._compositor.visible_widgets
            screen._compositor.render_strips()
            screen.get_widget_and_offset_at(*where)
            assert not any(strip.text.strip() for strip in editor.render_lines(Region(0, 0, width, height)))


async def test_nothing_of_the_conversation_fails_when_it_is_removed(stage: Any, repeat: Any) -> None:
    calls = '<|channel|>commentary to=functions.repeat<|message|>{"text": "a"}<|call|>'
    async with stage(calls, SAYS_MUCH, tools=[repeat()]) as s:
        await s.ready()
        await s.say("hi")
        await s.until_shown("print(1)")
        await s.pilot.press("ctrl+o", "ctrl+t", "ctrl+t")
        await s.ready()
        screen = s.app.screen
        widgets = [*screen.query_one(Transcript).query(Widget)]
        regions = {widget: Region(0, 0, *widget.size) for widget in widgets}
        assert len(widgets) > 20
        with s.app.batch_update():
            await screen.query_one(Transcript).remove_children()
            for widget, region in regions.items():
                widget.render_lines(region)
            screen._compositor.render_strips()
