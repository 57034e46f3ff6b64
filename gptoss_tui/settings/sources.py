"""The sources of settings: defaults < config file < environment < flags.

The config file is `config.toml` in the platform's configuration folder for `gptoss-chat`, unless the variable
GPTOSS_CHAT_CONFIG names another file. Every key of KEYS may stand in the file (`temperature = 0.7`) and in
the environment (`GPTOSS_CHAT_TEMPERATURE=0.7`); most have a flag as well (`--temperature 0.7`).
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .keys import KEYS, UnusableValue, reason
from .settings import Settings, SettingsError

PREFIX = "GPTOSS_CHAT_"


def read_settings(flags: Mapping[str, str | list[str]], environment: Mapping[str, str]) -> Settings:
    """The settings in force. A flag outweighs the environment, which outweighs the config file.

    `flags` are texts, or lists of texts, by key. Raises SettingsError for the first unusable setting.
    """
    values = _from_file(environment)
    for variable, text in environment.items():
        if variable.startswith(PREFIX) and variable != PREFIX + "CONFIG" and text:
            key = variable.removeprefix(PREFIX).lower()
            values[key] = _from_text(f"environment variable {variable}", key, text)
    for key, flag in flags.items():
        values[key] = _from_text(f"option --{key.replace('_', '-')}", key, flag)
    return Settings(**values)


def config_file(environment: Mapping[str, str]) -> Path:
    """The path of the config file, whether or not the file exists."""
    if path := environment.get(PREFIX + "CONFIG"):
        return Path(path).expanduser()
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


def _from_text(place: str, key: str, text: str | list[str]) -> Any:
    """The setting that a flag or variable gives as text. Its relative paths start from the current folder."""
    spec = KEYS.get(key)
    try:
        value = spec.parse(text) if spec and isinstance(text, str) else text
    except ValueError:
        value = None
    return _value(place, key, value, Path.cwd(), text)


def _value(place: str, key: str, value: Any, folder: Path, text: Any = None) -> Any:
    """The setting `key` from a TOML value; an error quotes `text` where the value was written as text."""
    spec = KEYS.get(key)
    if spec is None:
        raise SettingsError(f"{place}: no such setting; {_suggestion(key)}")
    try:
        return spec.read(value, folder)
    except UnusableValue as error:
        raise SettingsError(f"{place}: {error}") from None
    except ValueError:
        quoted = value if text is None else text
        raise SettingsError(f"{place}: {quoted!r} is not {spec.expects}") from None


def _suggestion(key: str) -> str:
    close = difflib.get_close_matches(key, KEYS, n=1)
    return f"did you mean {close[0]}?" if close else "there are " + ", ".join(KEYS)
