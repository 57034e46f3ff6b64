"""The Textual application: themes, signals and the palette. The chat itself is in `screens/chat.py`."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from rich.console import RenderableType
from textual.app import SystemCommand
from textual.screen import Screen
from textual.worker import WorkerFailed

from gptoss_tui.commands import COMMANDS, Invocation
from gptoss_tui.harmony.message import Effort
from gptoss_tui.settings import Reasoning
from gptoss_tui.tui.draft import Draft
from gptoss_tui.tui.pictures import Graphics
from gptoss_tui.tui.screens.chat import ChatScreen
from gptoss_tui.tui.screens.help import HelpScreen
from gptoss_tui.tui.screens.player import OpenSession
from gptoss_tui.tui.terminal.in_order import InOrderApp
from gptoss_tui.tui.widgets import keys
from gptoss_tui.tui.widgets.theme import DARK, LIGHT, default_theme, quiet_colours

_HERE = Path(__file__).parent
# On these signals Textual would leave the terminal in disarray. We exit in order, with the usual status.
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGABRT)

_log = logging.getLogger(__name__)


class ChatApp(InOrderApp[str]):
    """The chat in a terminal.

    `run` returns when the person leaves, or with the reason when no model could be loaded; `return_code` is
    the exit status. After a mistake in the program `run` returns too, with `crash` set and the log written.
    """

    TITLE = "gptoss-chat"
    BINDINGS = keys.APP
    CSS_PATH: ClassVar = [*sorted(_HERE.glob("widgets/*.tcss")), *sorted(_HERE.glob("screens/*.tcss"))]

    def __init__(
        self,
        open_session: OpenSession,
        *,
        model: str,
        effort: Effort,
        reasoning: Reasoning = "folded",
        graphics: Graphics | None = "blocks",
        theme: str | None = None,
        first_message: str | None = None,
        danger: str = "",
        draft: Draft | None = None,
    ) -> None:
        """`open_session` makes the conversation; it is called in a thread after the first frame.

        `reasoning` says how the reasoning is shown at first; only the chat can hide it. `graphics` is the way
        to draw pictures, None for no pictures. `danger` is a word that stays in the status line, in red.
        `draft` carries the text that is not sent yet over to the next start. `theme` is the name of one of
        our themes or of Textual's, None for the theme that suits the terminal.
        """
        super().__init__()
        for own_theme in (DARK, LIGHT):
            self.register_theme(own_theme)
        self.theme = theme or default_theme(os.environ)
        self.crash: BaseException | None = None
        self._chat_screen = ChatScreen(
            open_session,
            model=model,
            effort=effort,
            reasoning=reasoning,
            graphics=graphics,
            first_message=first_message,
            danger=danger,
            draft=draft,
        )

    @property
    def resume_id(self) -> str | None:
        """The ID to resume the conversation with, None while none of it is on disk."""
        return self._chat_screen.resume_id

    @property
    def lost(self) -> str:
        """The messages that could not be saved, in one sentence; "" for none."""
        return self._chat_screen.lost

    @property
    def untold(self) -> list[str]:
        """What became of the file of conversations and was not shown, in sentences."""
        return self._chat_screen.untold

    def get_default_screen(self) -> Screen[None]:
        return self._chat_screen

    def on_mount(self) -> None:
        for number in _ENDING:
            asyncio.get_running_loop().add_signal_handler(number, self.exit, None, 128 + number)
        # While the program was stopped, another has drawn on the terminal.
        self.app_resume_signal.subscribe(self, lambda _: self.refresh(layout=True))
        if _has_terminal():
            self.set_interval(1.0, self._leave_without_terminal)

    def _leave_without_terminal(self) -> None:
        """Exit when the terminal is gone, which may send no signal: Textual would read its end for ever."""
        if not _has_terminal():
            self.exit(None, 128 + signal.SIGHUP)

    def note_crash(self, error: BaseException) -> None:
        """Write the error to the log and the draft to disk, before anything else can fail."""
        if isinstance(error, WorkerFailed):
            error = error.error
        if self.crash is not None:  # a consequence of the first error, as a rule
            _log.error("and after that: %r", error)
            return
        self.crash = error
        _log.error("the screen failed", exc_info=error)
        self._chat_screen.save_draft()

    def _handle_exception(self, error: Exception) -> None:
        self.note_crash(error)
        super()._handle_exception(error)

    def _fatal_error(self) -> None:
        """Exit without a traceback on the screen, in which Textual would show all local variables."""
        self._close_messages_no_wait()

    def panic(self, *renderables: RenderableType) -> None:
        """Exit as `_fatal_error` does: the log has what Textual would draw."""
        self._fatal_error()

    def action_help(self) -> None:
        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen())

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """The colours that our stylesheets use beyond Textual's."""
        return quiet_colours(self.current_theme)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The entries of the palette: our commands, and the choice of a theme."""
        for command in COMMANDS:
            invocation = Invocation(command.name, command, "")
            yield SystemCommand(
                command.usage,
                command.summary,
                lambda invocation=invocation: self._chat_screen.run_command(invocation),
            )
        yield SystemCommand("Theme", "choose the colours", self.action_change_theme)


def _has_terminal() -> bool:
    return sys.__stdin__ is not None and not sys.__stdin__.closed and sys.__stdin__.isatty()
