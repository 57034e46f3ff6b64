"""The configuration of servers: `mcpServers`, in the form that other programs read as well.

    {"mcpServers": {"files": {"command": "files-server", "args": ["/data"], "env": {"TOKEN": "${TOKEN}"}},
                    "docs": {"url": "https://docs.example/mcp", "headers": {"X-Key": "${KEY:-none}"}}}}

Keys that only other programs know are ignored: trust in a server there is no trust here.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..source import OpenedSource, Source, SourceError
from .server import Server
from .server_config import START_LIMIT, ServerConfig

_VARIABLE = re.compile(r"\$\{(?:env:)?([A-Za-z_]\w*)(?::-([^}]*))?\}")


class ConfigError(Exception):
    """An entry cannot be used; the message names the part, and its proper form."""


def read_servers(file: Path | None, table: Mapping[str, Any], folder: Path, logs: Path) -> list[Source]:
    """The servers of `file` and of `table` (whose relative paths start from `folder`), none started yet.

    The complaints of each go to a file in `logs`. A fault in the file or in an entry is raised when that
    source is opened.
    """
    sources: list[Source] = []
    if file is not None:
        try:
            sources += _servers(_read(file), file.parent, logs)
        except ConfigError as error:
            sources.append(_Unreadable(file, str(error)))
    return sources + _servers(table, folder, logs)


def _servers(entries: Mapping[str, Any], folder: Path, logs: Path) -> list[Source]:
    return [
        Server(name, partial(read_entry, entry, os.environ, folder), logs)
        for name, entry in entries.items()
        if not (isinstance(entry, dict) and _is_off(entry))
    ]


def _is_off(entry: Mapping[str, Any]) -> bool:
    """Whether an entry is switched off, by either of the keys that programs use."""
    return entry.get("disabled") is True or entry.get("enabled") is False


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text("utf-8-sig"))
    except OSError as error:
        raise ConfigError(error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"it is not JSON ({error})") from error
    servers = content.get("mcpServers") if isinstance(content, dict) else None
    if not isinstance(servers, dict):
        raise ConfigError('it has no "mcpServers" with an entry for each server')
    return servers


def read_entry(entry: Any, environment: Mapping[str, str], folder: Path) -> ServerConfig:
    """One entry, its variables filled in from `environment`; raises ConfigError."""
    if not isinstance(entry, dict):
        raise ConfigError("its entry is no table")
    filled = {key: _filled(value, environment) for key, value in entry.items()}
    kind = filled.get("type", "")
    if kind not in ("", "stdio", "http", "streamable-http", "streamableHttp"):
        raise ConfigError(f"its type is {kind!r}; there are stdio and http")
    for switch in ("disabled", "enabled"):
        if not isinstance(entry.get(switch, True), bool):
            raise ConfigError(
                f"its {switch} is {entry[switch]!r}; that is true or false, without quotation marks"
            )
    if ("command" in filled) == ("url" in filled):
        raise ConfigError("its entry needs a command, or else a url")
    limit = filled.get("startup_timeout_sec", START_LIMIT)
    if type(limit) not in (int, float) or not 0 < limit <= 600:
        raise ConfigError("its startup_timeout_sec is not a number of seconds up to 600")
    if "url" in filled:
        url = _text(filled, "url")
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise ConfigError("its url is no http or https address")
        return ServerConfig(url=url, headers=_texts(filled, "headers"), start_limit=limit)
    arguments = filled.get("args", [])
    if not isinstance(arguments, list) or not all(isinstance(one, str) for one in arguments):
        raise ConfigError("its args are no list of strings")
    command = (_text(filled, "command"), *arguments)
    cwd = str(folder / Path(_text(filled, "cwd")).expanduser()) if "cwd" in filled else None
    return ServerConfig(command, _texts(filled, "env"), cwd, start_limit=limit)


def _filled(value: Any, environment: Mapping[str, str]) -> Any:
    """`value` with `${NAME}` and `${NAME:-otherwise}` replaced wherever text stands."""
    if isinstance(value, list):
        return [_filled(one, environment) for one in value]
    if isinstance(value, dict):
        return {key: _filled(one, environment) for key, one in value.items()}
    if isinstance(value, str):
        return _VARIABLE.sub(lambda found: _variable(found, environment), value)
    return value


def _variable(found: re.Match[str], environment: Mapping[str, str]) -> str:
    name, otherwise = found.groups()
    value = environment.get(name)
    if otherwise is not None and not value:
        value = otherwise
    if value is None:
        raise ConfigError(f"the environment variable {name} is not set")
    return value


def _text(entry: Mapping[str, Any], key: str) -> str:
    value = entry[key]
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ConfigError(f"its {key} is no text")
    return value


def _texts(entry: Mapping[str, Any], key: str) -> dict[str, str]:
    values = entry.get(key, {})
    if not isinstance(values, dict) or not all(isinstance(one, str) for one in values.values()):
        raise ConfigError(f"its {key} is no table of texts")
    if any(set("\0\r\n") & set(f"{name}{value}") for name, value in values.items()) and key == "headers":
        raise ConfigError("its headers have line breaks in them")
    return values


class _Unreadable(Source):
    """A file of servers that cannot be read, with the reason."""

    def __init__(self, file: Path, reason: str) -> None:
        self.origin = str(file)
        self._reason = reason

    async def open(self) -> OpenedSource:
        raise SourceError(f"{self.origin}: no MCP server can be read from it: {self._reason}.")

    async def close(self) -> None:
        pass
