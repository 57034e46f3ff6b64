"""Importing the tools costs the screen next to nothing."""

from __future__ import annotations

import subprocess
import sys


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    code = "import sys, gptoss_tui.tools.python, gptoss_tui.tools.functions\n"
    code += (
        "print([name for name in ('jupyter_client', 'zmq', 'IPython', 'pydantic') if name in sys.modules])"
    )
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert seen.stdout.strip() == "[]"
