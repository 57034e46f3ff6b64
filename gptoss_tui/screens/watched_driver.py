"""Textual's driver, with somebody who gives the terminal back if the program is killed."""

from __future__ import annotations

import termios
from contextlib import suppress

from textual.drivers.linux_driver import LinuxDriver

from gptoss_tui.restore import Watcher


class WatchedDriver(LinuxDriver):
    """The watcher lives as long as the terminal is ours: a suspended program has none."""

    _watcher: Watcher | None = None

    def start_application_mode(self) -> None:
        if self._watcher is None and self._file is not None:
            # Where there is no terminal there is nothing to restore, and no process to spare ends no chat.
            with suppress(OSError, termios.error):
                self._watcher = Watcher(self._file)
        super().start_application_mode()  # type: ignore[no-untyped-call]

    def close(self) -> None:
        super().close()
        if self._watcher is not None:
            self._watcher.dismiss()
            self._watcher = None

    def _run_input_thread(self) -> None:
        """Let a mistake in reading the keyboard end the screen as any other does."""
        try:
            self.run_input_thread()
        except Exception as error:
            self._app.call_later(self._app._handle_exception, error)
