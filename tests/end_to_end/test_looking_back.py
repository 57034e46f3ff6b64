"""A conversation with the embedded model, and then the installed command looking back at it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pexpect
import pytest


@pytest.fixture(scope="module")
def held(run: Any) -> str:
    """The id of a conversation of two turns."""
    for asked in (("My name is Ada.",), ("What is my name?", "--continue")):
        finished = run("-p", *asked, "--tools", "none", "--seed", "1")
        assert finished.returncode == 0, finished.stderr
    (name, *_) = [json.loads(line)["id"] for line in run("sessions", "--json").stdout.splitlines()]
    return str(name)


def test_what_was_sampled_is_what_the_prompt_goes_on_with(run: Any, held: str) -> None:
    """The answer of the last turn stands in the next prompt as it was sampled, but for its last token."""
    samples = run("tokens", held, "--sampled", "--ids").stdout.splitlines()
    prompt = run("tokens", held, "--ids").stdout.strip()
    assert len(samples) == 2
    assert samples[1].rpartition(",")[0] in prompt
    assert samples[0].rpartition(",")[0] not in prompt, "the analysis of the first turn is dropped"
    page = run("tokens", held)
    assert (page.returncode, page.stderr) == (0, "")
    assert "── dropped: assistant · analysis" in page.stdout
    exported = run("export", held).stdout
    assert exported.index("\n> My name is Ada.\n") < exported.index("\n> What is my name?\n")


@pytest.mark.parametrize("colour", [True, False])
def test_in_a_terminal(command: str, environment: Mapping[str, str], held: str, colour: bool) -> None:
    settings = {**environment, **({} if colour else {"NO_COLOR": "1"})}
    terminal = pexpect.spawn(
        command, ["tokens", held], env=settings, dimensions=(40, 60), encoding="utf-8", timeout=60
    )
    shown = terminal.read()
    terminal.close()
    assert terminal.exitstatus == 0
    assert ("\x1b[1m<|start|>\x1b[0m" in shown) == ("\x1b" in shown) == colour
    rows = re.sub(r"\x1b\[[\d;]*m", "", shown).splitlines()
    assert max(len(row) for row in rows if row.startswith("  ")) <= 60
    assert all(len(row) == 60 for row in rows if row.startswith("──") and "──── " in row)
