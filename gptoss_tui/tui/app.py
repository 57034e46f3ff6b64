"""The Textual application: themes, signals, palette; the chat itself is in `screens/chat.py`."""

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
# Textual leaves the terminal in disarray on these; we leave as if asked to, with the usual status.
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGABRT)

_log = logging.getLogger(__name__)


class ChatApp(InOrderApp[str]):
    """The chat in a terminal.

    `run` returns when the person leaves, and with the reason when no model could be loaded; `return_code` is
    the exit status. After a mistake in the program it returns as well, with `crash` set and the log written.
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

        `reasoning` says how the reasoning is shown at first; only the chat can hide it. `graphics` is how
        pictures are drawn, None for not at all. `danger` is a word that stays in
        the status line, in red. `draft` keeps what is written and not sent from one program to the next.
        `theme` is the name of one of ours or of Textual's, None for the one that suits the terminal.
        """
        super().__init__()
        for ours in (DARK, LIGHT):
            self.register_theme(ours)
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
        """The name under which the conversation can be taken up again, if any of it is on disk."""
        return self._chat_screen.resume_id

    @property
    def lost(self) -> str:
        """What of it could not be saved, in one sentence; "" for nothing."""
        return self._chat_screen.lost

    def get_default_screen(self) -> Screen[None]:
        return self._chat_screen

    def on_mount(self) -> None:
        for number in _ENDING:
            asyncio.get_running_loop().add_signal_handler(number, self.exit, None, 128 + number)
        # Whoever had the terminal while the program was stopped has drawn over it.
        self.app_resume_signal.subscribe(self, lambda _: self.refresh(layout=True))
        if _has_terminal():
            self.set_interval(1.0, self._leave_without_terminal)

    def _leave_without_terminal(self) -> None:
        """A terminal may go without a signal to us, and Textual would read its end over and over."""
        if not _has_terminal():
            self.exit(None, 128 + signal.SIGHUP)

    def note_crash(self, error: BaseException) -> None:
        """Write down why the screen ends, and what the person has written, before anything else can fail."""
        if isinstance(error, WorkerFailed):
            error = error.error
        if self.crash is not None:  # its consequences, as a rule
            _log.error("and after that: %r", error)
            return
        self.crash = error
        _log.error("the screen failed", exc_info=error)
        self._chat_screen.keep_draft()

    def _handle_exception(self, error: Exception) -> None:
        self.note_crash(error)
        super()._handle_exception(error)

    def _fatal_error(self) -> None:
        """Leave without Textual's picture of the traceback, with all local variables, on the screen."""
        self._close_messages_no_wait()

    def panic(self, *renderables: RenderableType) -> None:
        """As `_fatal_error`: what could be drawn is in the log."""
        self._fatal_error()

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
