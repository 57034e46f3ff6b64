"""Where settings come from: defaults < config file < environment < flags.

The config file is `config.toml` in the platform's own configuration folder for `gptoss-chat`; the environment
variable GPTOSS_CHAT_CONFIG names another. Every key of KEYS may stand in the file (`temperature = 0.7`), in
the environment (`GPTOSS_CHAT_TEMPERATURE=0.7`) and, most of them, among the flags.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .keys import KEYS, Unfit, reason
from .settings import Settings, SettingsError

PREFIX = "GPTOSS_CHAT_"


def read_settings(flags: Mapping[str, str | list[str]], environment: Mapping[str, str]) -> Settings:
    """The settings in force: `flags` by key (text, or a list of texts), over `environment`, over the file.

    Raises SettingsError for the first thing that cannot be used.
    """
    chosen = _from_file(environment)
    for variable, text in environment.items():
        if variable.startswith(PREFIX) and variable != PREFIX + "CONFIG" and text:
            chosen |= _one(f"environment variable {variable}", variable.removeprefix(PREFIX).lower(), text)
    for key, value in flags.items():
        chosen |= _one(f"option --{key.replace('_', '-')}", key, value)
    return Settings(**chosen)


def config_file(environment: Mapping[str, str]) -> Path:
    """The file that settings are read from, be it there or not."""
    if named := environment.get(PREFIX + "CONFIG"):
        return Path(named).expanduser()
    from platformdirs import user_config_path

    return user_config_path("gptoss-chat") / "config.toml"


def _from_file(environment: Mapping[str, str]) -> dict[str, Any]:
    file = config_file(environment)
    if not environment.get(PREFIX + "CONFIG") and not file.exists():
        return {}
    try:
        table = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{file}: {reason(error)}") from error
    return {key: _value(f"{file}: {key}", key, value, file.parent) for key, value in table.items()}


def _one(place: str, key: str, given: str | list[str]) -> dict[str, Any]:
    """A setting given as text; relative paths start from the current folder."""
    spec = KEYS.get(key)
    try:
        value = spec.parse(given) if spec and isinstance(given, str) else given
    except ValueError:
        value = None
    return {key: _value(place, key, value, Path.cwd(), given)}


def _value(place: str, key: str, value: Any, folder: Path, shown: Any = None) -> Any:
    spec = KEYS.get(key)
    if spec is None:
        raise SettingsError(f"{place}: no such setting; {_nearest(key)}")
    try:
        return spec.read(value, folder)
    except Unfit as error:
        raise SettingsError(f"{place}: {error}") from None
    except ValueError:
        given = value if shown is None else shown
        raise SettingsError(f"{place}: {given!r} is not {spec.expects}") from None


def _nearest(key: str) -> str:
    close = difflib.get_close_matches(key, KEYS, n=1)
    return f"did you mean {close[0]}?" if close else "there are " + ", ".join(KEYS)
