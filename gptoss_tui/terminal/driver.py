"""The terminal itself: Textual's driver for Linux and macOS, with our reader."""

from __future__ import annotations

import os
import selectors
from typing import Final

from textual import constants
from textual.drivers.linux_driver import LinuxDriver

from gptoss_tui.terminal.reader import PasteStalls, Reader

_AT_ONCE: Final = 4096
_PATIENCE: Final = 20
"""Silences in a paste after which the person is told."""


class ReadingDriver(LinuxDriver):
    """Reads the terminal with `Reader`."""

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
