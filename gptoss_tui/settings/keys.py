"""How each setting is read, by the name it has in the config file, the environment and among the flags."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from ..harmony.message import Effort
from ..permissions.policy import Policy
from ..permissions.rules import RuleError, Rules
from .permissions import read_permissions
from .settings import TOOLS, Pictures, Reasoning, Sandbox, Search, Servers, SettingsError

_FILE = re.compile(r"/|\.py(:\w+)?$")


class Unfit(ValueError):
    """A value whose fault deserves words of its own."""


@dataclass(frozen=True, slots=True)
class Key:
    """How one setting is read.

    `parse` turns text (a flag, an environment variable) into what a TOML file would hold; `read` turns that,
    with the folder that relative paths start from, into the setting. Both raise ValueError for what is not
    `expects`.
    """

    expects: str
    parse: Callable[[str], Any]
    read: Callable[[Any, Path], Any]


def _text(value: Any, _: Path) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError
    return value


def _effort(value: Any, _: Path) -> Effort:
    return Effort(value)


def _device(value: Any, _: Path) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
        raise ValueError
    return value


def _instructions(value: Any, folder: Path) -> str:
    if not isinstance(value, str):
        raise ValueError
    if not value.startswith("@"):
        # An argument that is not UTF-8 reaches us with surrogates in it, which no tokenizer takes.
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    file = folder / Path(value[1:]).expanduser()
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: the instructions cannot be read ({reason(error)})") from error


def _tools(value: Any, _: Path) -> tuple[str, ...]:
    if not isinstance(value, list) or any(name not in TOOLS for name in value):
        raise ValueError
    return tuple(dict.fromkeys(value))


def _hosts(value: Any, _: Path) -> tuple[str, ...]:
    from ..tools.browser.network.policy import parse_host

    if not isinstance(value, list) or not all(isinstance(host, str) for host in value):
        raise ValueError
    for host in value:
        parse_host(host)
    return tuple(value)


def _functions(value: Any, folder: Path) -> tuple[str, ...]:
    """FILE.py, a module, an entry point, or any of them and :FUNCTION; paths are made absolute."""
    if not isinstance(value, list) or not all(isinstance(name, str) and name.strip() for name in value):
        raise ValueError
    return tuple(_absolute(name, folder) if _FILE.search(name) else name for name in value)


def _file(value: Any, folder: Path) -> Path:
    return folder / Path(_text(value, folder)).expanduser()


def _filter(value: Any, folder: Path) -> str:
    """FILE.py:FUNCTION or a folder, the path made absolute."""
    return _absolute(_text(value, folder), folder)


def _absolute(named: str, folder: Path) -> str:
    """PATH or PATH:FUNCTION with the path made absolute."""
    path, colon, function = named.rpartition(":")
    if not colon or not function.isidentifier():
        return str(folder / Path(named).expanduser())
    return f"{folder / Path(path).expanduser()}:{function}"


def _servers(value: Any, folder: Path) -> Servers:
    if not isinstance(value, dict) or not all(isinstance(entry, dict) for entry in value.values()):
        raise ValueError
    return Servers(value, folder)


def _yes(value: Any, _: Path) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _truth(text: str) -> bool:
    return ("false", "true").index(text.lower()) == 1


def _one_of(choices: Any) -> Callable[[Any, Path], str]:
    def read(value: Any, _: Path) -> str:
        if value not in get_args(choices):
            raise ValueError
        return str(value)

    return read


def _permissions(value: Any, _: Path) -> Rules:
    if not isinstance(value, dict):
        raise ValueError
    try:
        return read_permissions(value)
    except RuleError as error:
        raise Unfit(str(error)) from error


def _not_as_text(text: str) -> Any:
    raise ValueError


def _whole(least: int) -> Callable[[Any, Path], int]:
    def read(value: Any, _: Path) -> int:
        if type(value) is not int or not least <= value < 2**63:
            raise ValueError
        return value

    return read


def _decimal(accepts: Callable[[float], bool]) -> Callable[[Any, Path], float]:
    def read(value: Any, _: Path) -> float:
        if type(value) not in (int, float) or not math.isfinite(value) or not accepts(value):
            raise ValueError
        return float(value)

    return read


def _names(text: str) -> list[str]:
    """A comma list; "none" is the empty one."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    return [] if names == ["none"] else names


KEYS: dict[str, Key] = {
    "model": Key('"demo" or the folder of a checkpoint', str, _text),
    "effort": Key('"low", "medium" or "high"', str, _effort),
    "tools": Key("a list of tools (there are " + ", ".join(TOOLS) + "), or none", _names, _tools),
    "search": Key("one of " + ", ".join(get_args(Search)), str, _one_of(Search)),
    "searxng": Key("the address of a SearXNG", str, _text),
    "documents": Key("a folder of documents", str, _file),
    "zim": Key("a ZIM file", str, _file),
    "allow_hosts": Key("a list of HOST or HOST:PORT", _names, _hosts),
    "functions": Key("a list of Python files or modules", lambda text: text.split(","), _functions),
    "mcp": Key("a JSON file with mcpServers", str, _file),
    "mcpServers": Key("a table for each MCP server", json.loads, _servers),
    "instructions": Key("text, or @FILE", str, _instructions),
    "schema": Key("a file that holds a JSON Schema", str, _file),
    "constrain_headers": Key("true or false", _truth, _yes),
    "reasoning": Key('"folded", "hidden" or "raw"', str, _one_of(Reasoning)),
    "reasoning_filter": Key("FILE.py:FUNCTION or the folder of a checkpoint", str, _filter),
    "reasoning_policy": Key("text, or @FILE", str, _instructions),
    "temperature": Key("a number of at least 0", float, _decimal(lambda value: value >= 0)),
    "top_p": Key("a number above 0 and at most 1", float, _decimal(lambda value: 0 < value <= 1)),
    "seed": Key("a whole number of at least 0", int, _whole(0)),
    "max_tokens": Key("a whole number of at least 1", int, _whole(1)),
    "max_reasoning_tokens": Key("a whole number of at least 1", int, _whole(1)),
    "sandbox": Key('"read-only", "workspace-write" or "danger-full-access"', str, _one_of(Sandbox)),
    "container": Key("the name of a container image", str, _text),
    "ask_for_approval": Key('"untrusted", "on-request" or "never"', str, _one_of(Policy)),
    "permissions": Key("a table of the config file: allow, ask, deny", _not_as_text, _permissions),
    "max_tool_calls": Key("a whole number of at least 1", int, _whole(1)),
    "context": Key("a whole number of at least 1", int, _whole(1)),
    "device": Key('"auto", "cpu", "cuda" or "cuda:N"', str, _device),
    "threads": Key("a whole number of at least 1", int, _whole(1)),
    "theme": Key("the name of a theme", str, _text),
    "pictures": Key('"auto", "kitty", "sixel", "blocks" or "off"', str, _one_of(Pictures)),
}


def reason(error: Exception) -> str:
    """Why a file cannot be read, without its name."""
    match error:
        case OSError(strerror=str(why)):
            return why
        case UnicodeDecodeError():
            return "not UTF-8 text"
        case _:
            return str(error)
