"""What a shell is to a program in a terminal: `python shell.py PROGRAM ...` leads the session and waits.

When the leader of a session ends, the system hangs up its terminal, so a program that leads one itself leaves
none to look at. The exit status is the program's, 128 + N after signal N, and 99 after a core dump.
"""

from __future__ import annotations

import os
import signal
import sys


def main(program: list[str]) -> int:
    child = os.fork()
    if child == 0:
        os.execvp(program[0], program)
    for key in (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP):
        signal.signal(key, signal.SIG_IGN)
    _, status = os.waitpid(child, 0)
    if os.WCOREDUMP(status):
        return 99
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
