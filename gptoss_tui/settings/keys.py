"""The keys of the settings: how each is read from the config file, the environment and the flags."""

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
from .settings import TOOLS, Pictures, Reasoning, Sandbox, Search, Servers, SettingsError, WhenFull

_FILE = re.compile(r"/|\.py(:\w+)?$")


class UnusableValue(ValueError):
    """A value that cannot be used, with a message that says why."""


@dataclass(frozen=True, slots=True)
class Key:
    """How one setting is read.

    `parse` turns the text of a flag or an environment variable into a TOML value. `read` turns a TOML value
    into the setting; its second argument is the folder that relative paths start from. Both raise ValueError
    for a value that is not what `expects` describes.
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
        # An argument that is not UTF-8 arrives with surrogates in it, which no tokenizer takes.
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
    """Names of files, modules or entry points, each perhaps with :FUNCTION. Paths become absolute."""
    if not isinstance(value, list) or not all(isinstance(name, str) and name.strip() for name in value):
        raise ValueError
    return tuple(_absolute(name, folder) if _FILE.search(name) else name for name in value)


def _file(value: Any, folder: Path) -> Path:
    return folder / Path(_text(value, folder)).expanduser()


def _filter(value: Any, folder: Path) -> str:
    """FILE.py:FUNCTION or a folder. The path becomes absolute."""
    return _absolute(_text(value, folder), folder)


def _absolute(name: str, folder: Path) -> str:
    """PATH or PATH:FUNCTION with an absolute path."""
    path, colon, function = name.rpartition(":")
    if not colon or not function.isidentifier():
        return str(folder / Path(name).expanduser())
    return f"{folder / Path(path).expanduser()}:{function}"


def _servers(value: Any, folder: Path) -> Servers:
    if not isinstance(value, dict) or not all(isinstance(entry, dict) for entry in value.values()):
        raise ValueError
    return Servers(value, folder)


def _boolean(value: Any, _: Path) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _parse_boolean(text: str) -> bool:
    return ("false", "true").index(text.lower()) == 1


def _choice(choices: Any) -> Callable[[Any, Path], str]:
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
        raise UnusableValue(str(error)) from error


def _refuse_text(text: str) -> Any:
    raise ValueError


def _integer(least: int) -> Callable[[Any, Path], int]:
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


def _parse_list(text: str) -> list[str]:
    """The items of a list with commas; "none" stands for the empty list."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    return [] if names == ["none"] else names


KEYS: dict[str, Key] = {
    "model": Key('"demo" or the folder of a checkpoint', str, _text),
    "effort": Key('"low", "medium" or "high"', str, _effort),
    "tools": Key("a list of tools (there are " + ", ".join(TOOLS) + "), or none", _parse_list, _tools),
    "search": Key("one of " + ", ".join(get_args(Search)), str, _choice(Search)),
    "searxng": Key("the address of a SearXNG", str, _text),
    "documents": Key("a folder of documents", str, _file),
    "zim": Key("a ZIM file", str, _file),
    "allow_hosts": Key("a list of HOST or HOST:PORT", _parse_list, _hosts),
    "functions": Key("a list of Python files or modules", lambda text: text.split(","), _functions),
    "mcp": Key("a JSON file with mcpServers", str, _file),
    "mcpServers": Key("a table for each MCP server", json.loads, _servers),
    "instructions": Key("text, or @FILE", str, _instructions),
    "schema": Key("a file that holds a JSON Schema", str, _file),
    "constrain_headers": Key("true or false", _parse_boolean, _boolean),
    "reasoning": Key('"folded", "hidden" or "raw"', str, _choice(Reasoning)),
    "reasoning_filter": Key("FILE.py:FUNCTION or the folder of a checkpoint", str, _filter),
    "reasoning_policy": Key("text, or @FILE", str, _instructions),
    "temperature": Key("a number of at least 0", float, _decimal(lambda value: value >= 0)),
    "top_p": Key("a number above 0 and at most 1", float, _decimal(lambda value: 0 < value <= 1)),
    "seed": Key("a whole number of at least 0", int, _integer(0)),
    "max_tokens": Key("a whole number of at least 1", int, _integer(1)),
    "max_reasoning_tokens": Key("a whole number of at least 1", int, _integer(1)),
    "sandbox": Key('"read-only", "workspace-write" or "danger-full-access"', str, _choice(Sandbox)),
    "container": Key("the name of a container image", str, _text),
    "ask_for_approval": Key('"untrusted", "on-request" or "never"', str, _choice(Policy)),
    "permissions": Key("a table of the config file: allow, ask, deny", _refuse_text, _permissions),
    "max_tool_calls": Key("a whole number of at least 1", int, _integer(1)),
    "context": Key("a whole number of at least 1", int, _integer(1)),
    "context_full": Key('"compact", "drop" or "ask"', str, _choice(WhenFull)),
    "device": Key('"auto", "cpu", "cuda" or "cuda:N"', str, _device),
    "threads": Key("a whole number of at least 1", int, _integer(1)),
    "speculate": Key("true or false", _parse_boolean, _boolean),
    "snapshots": Key("a whole number of megabytes of at least 0", int, _integer(0)),
    "read_ahead": Key("true or false", _parse_boolean, _boolean),
    "theme": Key("the name of a theme", str, _text),
    "pictures": Key('"auto", "kitty", "sixel", "blocks" or "off"', str, _choice(Pictures)),
}


def reason(error: Exception) -> str:
    """The reason why a file cannot be read, without the name of the file."""
    match error:
        case OSError(strerror=str(message)):
            return message
        case UnicodeDecodeError():
            return "not UTF-8 text"
        case _:
            return str(error)
