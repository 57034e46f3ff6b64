"""The terminal itself: Textual's driver for Linux and macOS, with our reader and a watcher."""

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
"""Silences in a paste after which the person is told."""


class TerminalDriver(LinuxDriver):
    """Reads the terminal with `Reader`, and has it given back if the program is killed.

    The watcher who does that lives as long as the terminal is ours: a suspended program has none.
    """

    _watcher: Watcher | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # Textual stops and goes on inside of a signal handler, in the middle of whatever is done, and may
        # wait there for a lock that it holds itself. The loop does so between two things.
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTSTP, self._sigtstp_application)
        loop.add_signal_handler(signal.SIGCONT, self._go_on)

    def start_application_mode(self) -> None:
        if self._watcher is None and self._file is not None:
            # Where there is no terminal there is nothing to restore, and no process to spare ends no chat.
            with suppress(OSError, termios.error):
                self._watcher = Watcher(self._file)
        super().start_application_mode()  # type: ignore[no-untyped-call]

    def _go_on(self) -> None:
        """Take the terminal again, if it was given back: whoever was stopped with SIGSTOP has it still."""
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
        """Let a mistake in reading the terminal end the screen as any other does."""
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
                    found = reader.silence()
                    if reader.in_paste and silences == _PATIENCE:
                        self.process_message(PasteStalls())
                elif data := self._read():
                    silences = 0
                    found = reader.feed(data)
                else:
                    # The terminal is gone, or at its end for now; the application looks after that.
                    self.exit_event.wait(constants.ESCAPE_DELAY)
                    continue
                for message in found:
                    self.process_message(message)

    def _read(self) -> bytes:
        try:
            return os.read(self.fileno, _AT_ONCE)
        except OSError:
            return b""
