"""What examples/ shows works as it stands."""

from __future__ import annotations

import subprocess
import sys
from itertools import groupby
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_a_front_end_of_forty_lines() -> None:
    example = subprocess.run(
        [sys.executable, EXAMPLES / "front_end.py"], capture_output=True, text=True, check=True
    )
    assert example.stderr == ""
    lines = [line.split() for line in example.stdout.splitlines() if line and not line.startswith(">")]
    assert [kind for kind, _ in groupby(line[0].partition(".")[2] for line in lines)] == [
        *("loading", "ready", "created", "prefill"),
        *("reasoning_text.delta", "output_text.delta", "completed"),
        *("created", "prefill", "output_text.delta", "lost", "loading", "ready", "failed"),
        *("created", "prefill", "output_text.delta", "completed"),
    ]
    assert "> Say it again.\nresponse.created" in example.stdout
    assert "'It'" in example.stdout
