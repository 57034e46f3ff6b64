"""The first frame must not wait for anything heavy."""

from __future__ import annotations

import subprocess
import sys

# What the screen may need besides the standard library.
ALLOWED = {"gptoss_tui", "textual", "rich", "pygments", "markdown_it", "mdurl", "linkify_it", "uc_micro"}
ALLOWED |= {"platformdirs", "typing_extensions"}

PROGRAM = """
import sys
before = set(sys.modules)
import gptoss_tui.tui.app
new = {name.partition(".")[0] for name in set(sys.modules) - before}
print(*sorted(name for name in new - sys.stdlib_module_names if not name.startswith("__")))
"""


def test_the_application_imports_only_what_draws() -> None:
    run = subprocess.run([sys.executable, "-P", "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert set(run.stdout.split()) <= ALLOWED
