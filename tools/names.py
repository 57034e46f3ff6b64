"""The names of tools, which harmony's header can carry and which mean nothing else to the model.

A function of the person's keeps its own name, or is refused. The name of a server's tool consists of the
letters and digits of the server's name, `_`, and the tool's name: `github_search_issues`. As a server's part
has no `_`, the first one ends it, so that no server can take the name of another's tool. (Two servers whose
names have the same letters and digits could; the later one's tool is then left out, and the person is told.)
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

LONGEST = 64
NAME = re.compile(rf"[A-Za-z_][A-Za-z0-9_]{{0,{LONGEST - 1}}}", re.ASCII)

ROLES = frozenset({"assistant", "user", "system", "developer", "tool", "all"})
BUILT_IN = frozenset({"python", "browser", "container", "bash", "shell", "apply_patch", "functions"})
RESERVED = ROLES | BUILT_IN
"""Names of roles, or of tools that the model was trained with, to which it writes code and no JSON."""

_LONGEST_PREFIX = 24


def prefix(server: str) -> str:
    """The beginning of the names of a server's tools: up to 24 letters and digits, a letter first."""
    kept = re.sub(r"[^A-Za-z0-9]", "", server)
    if not kept:
        return f"mcp{_mark(server)}"
    named = kept if kept[0].isalpha() else f"mcp{kept}"
    return named if len(named) <= _LONGEST_PREFIX else named[: _LONGEST_PREFIX - 8] + _mark(server)


def carried(server: str, tools: Iterable[str]) -> dict[str, str]:
    """Names for a server's `tools`, all different, by the server's own names.

    A name is kept where it can be. Illegal characters become `_`; a name that is then too long, or that
    another tool has the better right to, ends in a mark made from the whole name. The order of `tools` does
    not matter.
    """
    start = prefix(server) + "_"
    names: dict[str, str] = {}
    for tool in sorted(set(tools), key=lambda tool: (not NAME.fullmatch(start + tool), tool)):
        name, salt = start + re.sub(r"[^A-Za-z0-9_]", "_", tool), tool
        while len(name) > LONGEST or name in RESERVED or name in names.values() or name == start:
            mark = _mark(salt)
            name, salt = f"{name[: LONGEST - len(mark) - 1]}_{mark}", salt + mark
        names[tool] = name
    return names


def _mark(text: str) -> str:
    """Eight hexadecimal digits that stand for `text`."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
