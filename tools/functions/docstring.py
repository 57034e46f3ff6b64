"""Google-style docstrings: what a function does, and what each argument means."""

from __future__ import annotations

import inspect
import re
from itertools import pairwise

SECTION = re.compile(r"(Args|Arguments|Parameters|Returns?|Yields|Raises|Examples?|Notes?|Attributes):\s*$")
ARGUMENT = re.compile(r"\*{0,2}(?P<name>\w+)\s*(?:\([^)]*\))?:\s*(?P<text>.*)$")


def parse(docstring: str | None) -> tuple[str, dict[str, str]]:
    """The text above the first section, and the description of each argument under `Args:`, on one line."""
    lines = inspect.cleandoc(docstring or "").splitlines()
    heads = [number for number, line in enumerate(lines) if SECTION.match(line)] + [len(lines)]
    description = "\n".join(lines[: heads[0]]).strip()
    arguments: dict[str, str] = {}
    for start, end in pairwise(heads):
        if lines[start].startswith(("Args", "Arguments", "Parameters")):
            arguments |= _arguments(inspect.cleandoc("\n" + "\n".join(lines[start + 1 : end])).splitlines())
    return description, arguments


def _arguments(lines: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    name = None
    for line in lines:
        if not line.startswith(" ") and (match := ARGUMENT.match(line)):
            name = match["name"]
            found[name] = match["text"].strip()
        elif name is not None and line.strip():
            found[name] = f"{found[name]} {line.strip()}".strip()
    return found
