"""Every key of the application, in one place.

A binding has a stable id, which a person names to rebind the key (`App.set_keymap`). The help screen is drawn
from `SECTIONS`, so every key that is bound here is documented.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from textual.binding import Binding, BindingType


def _key(
    id_: str, keys: str, action: str, description: str, display: str | None = None, *, priority: bool = False
) -> Binding:
    return Binding(keys, action, description, show=False, key_display=display, priority=priority, id=id_)


# Priority, because TextArea would take Enter as text and Screen would take Shift+Tab as focus movement.
COMPOSER: Final[list[BindingType]] = [
    _key("composer.send", "enter", "send", "Send, or queue while the model is busy", "Enter", priority=True),
    _key(
        "composer.newline",
        "shift+enter,ctrl+j,alt+enter",
        "newline",
        "New line (a trailing \\ before Enter does it too)",
        "Shift+Enter Ctrl+J Alt+Enter",
        priority=True,
    ),
    _key(
        "composer.effort",
        "shift+tab",
        "screen.effort",
        "Effort of the next turn",
        "Shift+Tab  F2",
        priority=True,
    ),
    _key(
        "composer.older",
        "up",
        "older",
        "Earlier messages; if empty, the last queued one",
        "Up  Down",
    ),
    _key("composer.newer", "down", "newer", ""),
    _key(
        "composer.scroll_up",
        "pageup",
        "screen.scroll(-1)",
        "Scroll the conversation",
        "PgUp  PgDn",
        priority=True,
    ),
    _key("composer.scroll_down", "pagedown", "screen.scroll(1)", "", priority=True),
    _key(
        "composer.complete",
        "tab",
        "complete",
        "Complete a / command, else move to the conversation",
        "Tab",
        priority=True,
    ),
]

CHAT: Final[list[BindingType]] = [
    _key("chat.stop", "escape", "stop", "Stop the answer and keep what was said", "Esc"),
    _key(
        "chat.interrupt",
        "ctrl+c",
        "interrupt",
        "Copy, clear the draft, stop, then quit",
        "Ctrl+C",
        priority=True,
    ),
    _key("chat.effort", "f2", "effort", ""),
    _key("chat.thinking", "ctrl+t", "thinking", "Raw reasoning: line, tail, full", "Ctrl+T"),
    _key("chat.cards", "ctrl+o", "cards", "Fold or unfold all tool calls", "Ctrl+O"),
    _key("chat.new", "ctrl+n", "new", "New chat", "Ctrl+N"),
    _key("chat.end", "ctrl+l", "end", "Jump to the end", "Ctrl+L"),
]

APPROVAL: Final[list[BindingType]] = [
    _key("approval.no", "n", "choose('no')", "Do not run it", "n"),
    _key("approval.why", "escape", "choose('why')", "Do not run it, and tell the model why", "Esc"),
    _key("approval.once", "y", "choose('once')", "Run it this once", "y"),
    _key("approval.session", "a", "choose('session')", "Run it, and do not ask again this session", "a"),
    _key("approval.always", "A", "choose('always')", "Run it, and never ask again: makes a rule", "Shift+A"),
    _key("approval.edit", "e", "choose('edit')", "Change the call; you are asked again", "e"),
    _key("approval.left", "left", "step(-1)", ""),
    _key("approval.right", "right", "step(1)", ""),
    _key("approval.up", "up", "scroll(-1)", "Read a long call", "Up  Down  PgUp  PgDn"),
    _key("approval.down", "down", "scroll(1)", ""),
    _key("approval.page_up", "pageup", "scroll(-5)", ""),
    _key("approval.page_down", "pagedown", "scroll(5)", ""),
]

LINE_EDITOR: Final[list[BindingType]] = [
    _key("line.done", "enter", "done", "Done", "Enter", priority=True),
    _key("line.newline", "shift+enter,ctrl+j,alt+enter", "newline", "New line", "Ctrl+J", priority=True),
    _key("line.leave", "escape", "leave", "Leave", "Esc", priority=True),
]

GO_ON: Final[list[BindingType]] = [
    _key("go_on.continue", "c", "choose('continue')", "Let it go on", "c"),
    _key("go_on.answer", "w", "choose('answer')", "Ask for its answer now", "w"),
    _key("go_on.stop", "s,escape", "choose('stop')", "Stop", "s  Esc"),
    _key("go_on.left", "left", "step(-1)", ""),
    _key("go_on.right", "right", "step(1)", ""),
]

MAKE_ROOM: Final[list[BindingType]] = [
    _key("make_room.compact", "c", "choose('compact')", "Have the model sum up the oldest turns", "c"),
    _key("make_room.drop", "l", "choose('drop')", "Leave out the oldest turns", "l"),
    _key("make_room.stop", "s,escape", "choose('stop')", "Stop", "s  Esc"),
    _key("make_room.left", "left", "step(-1)", ""),
    _key("make_room.right", "right", "step(1)", ""),
]

APP: Final[list[BindingType]] = [
    _key("app.help", "f1", "help", "Keys and commands (? while nothing is typed)", "F1  or  ?"),
    _key("app.palette", "ctrl+p", "command_palette", "Command palette", "Ctrl+P", priority=True),
    _key("app.quit", "ctrl+q", "quit", "Quit", "Ctrl+Q", priority=True),
]


class Section(NamedTuple):
    """A group of keys on the help screen."""

    title: str
    bindings: list[BindingType]

    def rows(self) -> list[tuple[str, str]]:
        """The keys and their descriptions. A binding without a description belongs to the one before it."""
        bindings = (binding for binding in self.bindings if isinstance(binding, Binding))
        return [(b.key_display or b.key, b.description) for b in bindings if b.description]


SECTIONS = (
    Section("Writing", COMPOSER),
    Section("Conversation", CHAT),
    Section("When a call asks for approval", APPROVAL),
    Section("When the model calls tools again and again", GO_ON),
    Section("When the conversation fills the model's context", MAKE_ROOM),
    Section("Application", APP),
)
