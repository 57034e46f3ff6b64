"""The watcher: a process that restores the terminal when the process of the screen dies.

No handler runs in a process that is killed with SIGKILL or crashes in native code. So a small process waits
on a pipe for as long as the screen has the terminal: the byte IN_ORDER means that the screen has restored the
terminal, and the end of the pipe without it means that the screen is gone. The watcher runs this file alone,
with few imports.
"""

from __future__ import annotations

import os
import sys
import termios
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from subprocess import Popen

IN_ORDER: Final = b"."

_LONGEST_S: Final = 5
"""The most seconds that a write waits where nobody reads the terminal's other end."""

# First the end of a string that may be open: it would swallow the rest. Textual and textual-image set these.
_RESTORE: Final = (
    "\x1b\\"
    "\x1b[?2026l"  # synchronized output
    "\x1b[?2004l"  # bracketed paste
    "\x1b[?7h"  # line wrap
    "\x1b[?2048l"  # reports of the size
    "\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[?1016l"  # mouse
    "\x1b[?1004l"  # reports of the focus
    "\x1b[<u"  # kitty's keyboard protocol; each screen has its own, so before the screen is left
    "\x1b[0m"
    "\x1b[?1049l"  # alternate screen
    "\x1b[?25h"  # cursor
)


class Watcher:
    """The watcher, as the process of the screen sees it."""

    def __init__(self, terminal: IO[str]) -> None:
        """Start the watcher, which will restore the present modes; raises OSError and termios.error."""
        import subprocess

        modes = termios.tcgetattr(terminal)
        # In a session of its own no key and no hangup reaches it, and it may write from the background.
        self._process: Popen[bytes] = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, _packed(modes)],
            stdin=subprocess.PIPE,
            stdout=terminal,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def dismiss(self) -> None:
        """End the watcher without a write: the terminal is restored."""
        assert self._process.stdin is not None
        with suppress(OSError), self._process.stdin as pipe:
            pipe.write(IN_ORDER)
        self._process.wait()


def _packed(modes: list[Any]) -> str:
    """The result of `termios.tcgetattr` as one argument, with control characters as numbers."""
    *numbers, characters = modes
    return " ".join(str(each if isinstance(each, int) else each[0]) for each in (*numbers, *characters))


def _unpacked(packed: str) -> list[Any]:
    numbers = [int(each) for each in packed.split()]
    # VMIN and VTIME, which tcgetattr gives as numbers, may be bytes as well.
    return [*numbers[:6], [bytes([each]) for each in numbers[6:]]]


def _wait_and_restore(packed: str) -> None:
    """Wait for IN_ORDER on stdin; without it, restore the terminal on stdout, if it is still there."""
    import signal

    if os.read(0, 1) == IN_ORDER:
        return
    signal.alarm(_LONGEST_S)
    with suppress(OSError):
        os.write(1, _RESTORE.encode())
    with suppress(termios.error):
        termios.tcsetattr(1, termios.TCSANOW, _unpacked(packed))
        # The shell would read the terminal's reports to the screen as typed keys.
        termios.tcflush(1, termios.TCIFLUSH)


if __name__ == "__main__":
    _wait_and_restore(sys.argv[1])
    os._exit(0)
