"""The driver of the terminal: Textual's for Linux and macOS, with our reader and the watcher."""

from __future__ import annotations

import asyncio
import os
import selectors
import signal
import termios
from contextlib import suppress
from typing import Any, Final

from textual import constants
from textual.drivers.linux_driver import LinuxDriver

from gptoss_tui.tui.restore import Watcher
from gptoss_tui.tui.terminal.reader import PasteStalls, Reader

_AT_ONCE: Final = 4096
_PATIENCE: Final = 20
"""The number of silences in a paste after which the person is notified."""


class TerminalDriver(LinuxDriver):
    """Reads the terminal with `Reader`, and has a watcher restore it if the program is killed.

    The watcher lives as long as the program has the terminal: a suspended program has no watcher.
    """

    _watcher: Watcher | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # Textual suspends and resumes inside a signal handler, at any point of the program, and may wait
        # there for a lock that it holds itself. A handler of the loop runs between two callbacks.
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTSTP, self._sigtstp_application)
        loop.add_signal_handler(signal.SIGCONT, self._go_on)

    def start_application_mode(self) -> None:
        if self._watcher is None and self._file is not None:
            # Without a terminal there is nothing to restore, and without a watcher the chat works as well.
            with suppress(OSError, termios.error):
                self._watcher = Watcher(self._file)
        super().start_application_mode()  # type: ignore[no-untyped-call]

    def _go_on(self) -> None:
        """Take the terminal again if it was given back; a program stopped with SIGSTOP still has it."""
        if self._must_signal_resume:
            self._sigcont_application()
        else:
            self._app.refresh(layout=True)

    def close(self) -> None:
        super().close()
        if self._watcher is not None:
            self._watcher.dismiss()
            self._watcher = None

    def _run_input_thread(self) -> None:
        """Read the terminal. A mistake in it ends the screen as any other mistake does."""
        try:
            self.run_input_thread()
        except Exception as error:
            self._app.call_later(self._app._handle_exception, error)

    def run_input_thread(self) -> None:
        """Read until the driver is told to stop."""
        reader = Reader()
        silences = 0
        with selectors.SelectSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            while not self.exit_event.is_set():
                if not selector.select(constants.ESCAPE_DELAY):
                    silences += 1
                    messages = reader.silence()
                    if reader.in_paste and silences == _PATIENCE:
                        self.process_message(PasteStalls())
                elif data := self._read():
                    silences = 0
                    messages = reader.feed(data)
                else:
                    # The terminal is gone or at its end for now. The application checks which.
                    self.exit_event.wait(constants.ESCAPE_DELAY)
                    continue
                for message in messages:
                    self.process_message(message)

    def _read(self) -> bytes:
        try:
            return os.read(self.fileno, _AT_ONCE)
        except OSError:
            return b""
