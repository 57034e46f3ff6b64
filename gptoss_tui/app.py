"""The Textual application: themes, signals, palette; the chat itself is in `screens/chat.py`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from textual.app import SystemCommand
from textual.screen import Screen

from gptoss_tui.commands import COMMANDS, Invocation
from gptoss_tui.harmony.message import Effort
from gptoss_tui.pictures import Graphics
from gptoss_tui.screens.chat import ChatScreen
from gptoss_tui.screens.help import HelpScreen
from gptoss_tui.screens.session import OpenChat
from gptoss_tui.settings import Reasoning
from gptoss_tui.terminal.in_order import InOrderApp
from gptoss_tui.widgets import keys
from gptoss_tui.widgets.theme import DARK, LIGHT, default_theme, quiet_colours

_HERE = Path(__file__).parent


class ChatApp(InOrderApp[str]):
    """The chat in a terminal.

    `run` returns when the person leaves, and with the reason when no model could be loaded; `return_code` is
    the exit status.
    """

    TITLE = "gptoss-chat"
    BINDINGS = keys.APP
    CSS_PATH: ClassVar = [*sorted(_HERE.glob("widgets/*.tcss")), *sorted(_HERE.glob("screens/*.tcss"))]

    def __init__(
        self,
        open_chat: OpenChat,
        *,
        model: str,
        effort: Effort,
        reasoning: Reasoning = "folded",
        graphics: Graphics | None = "blocks",
        theme: str | None = None,
        first_message: str | None = None,
        danger: str = "",
    ) -> None:
        """`open_chat` makes the conversation; it is called in a thread after the first frame.

        `reasoning` says how the reasoning is shown at first; only the chat can hide it. `graphics` is how
        pictures are drawn, None for not at all. `danger` is a word that stays in
        the status line, in red.
        `theme` is the name of one of ours or of Textual's, None for the one that suits the terminal.
        """
        super().__init__()
        for ours in (DARK, LIGHT):
            self.register_theme(ours)
        self.theme = theme or default_theme(os.environ)
        self._chat_screen = ChatScreen(
            open_chat,
            model=model,
            effort=effort,
            reasoning=reasoning,
            graphics=graphics,
            first_message=first_message,
            danger=danger,
        )

    @property
    def kept_as(self) -> str | None:
        """The name under which the conversation can be taken up again, if any of it is on disk."""
        return self._chat_screen.kept_as

    @property
    def lost(self) -> str:
        """What of it could not be saved, in one sentence; "" for nothing."""
        return self._chat_screen.lost

    def get_default_screen(self) -> Screen[None]:
        return self._chat_screen

    def on_mount(self) -> None:
        # Textual leaves the terminal in disarray on these; we leave as if asked to, with the usual status.
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self.exit, None, 128 + number)
        if _has_terminal():
            self.set_interval(1.0, self._leave_without_terminal)

    def _leave_without_terminal(self) -> None:
        """A terminal may go without a signal to us, and Textual would read its end over and over."""
        if not _has_terminal():
            self.exit(None, 128 + signal.SIGHUP)

    def action_help(self) -> None:
        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen())

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """The colours that our stylesheets use beyond Textual's."""
        return quiet_colours(self.current_theme)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Our commands and the themes in the palette."""
        for command in COMMANDS:
            invocation = Invocation(command.name, command, "")
            yield SystemCommand(
                command.usage,
                command.summary,
                lambda chosen=invocation: self._chat_screen.run_command(chosen),
            )
        yield SystemCommand("Theme", "choose the colours", self.action_change_theme)


def _has_terminal() -> bool:
    return sys.__stdin__ is not None and not sys.__stdin__.closed and sys.__stdin__.isatty()
