"""The shape that answers must have: the JSON Schema from a file, and the check of an answer."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ..harmony.message import ResponseFormat
from ..settings import SettingsError
from ..tools.excerpt import excerpt
from ..tools.json_schema import parse, validator

LARGEST = 100_000
"""Bytes of a schema; the model reads all of it with every question."""

_LONGEST_REASON = 300
_LONGEST_NAME = 64


def read_response_format(file: Path) -> ResponseFormat:
    """The response format that `file` describes; raises SettingsError with one sentence.

    Its name is the schema's title or the file's name, its description the schema's. A part of the schema that
    cannot be enforced is refused by name, with its place.
    """
    schema = _read(file)
    _check(schema, file)
    title, description = schema.get("title"), schema.get("description")
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", title if isinstance(title, str) else "").strip("_")
    name = name or re.sub(r"[^A-Za-z0-9_-]+", "_", file.stem).strip("_") or "answer"
    return ResponseFormat(name[:_LONGEST_NAME], schema, description if isinstance(description, str) else "")


def mismatch(text: str, response_format: ResponseFormat) -> str:
    """The reason why `text` is no JSON document of that shape, as "PATH: reason"; "" when it is one."""
    from jsonschema.exceptions import best_match
    from referencing.exceptions import Unresolvable

    try:
        document = parse(text)
    except (ValueError, RecursionError) as error:
        return f"$: cannot be read as JSON ({error})"
    try:
        worst = best_match(validator(response_format.schema).iter_errors(document))
    except (Unresolvable, RecursionError, re.error) as error:
        return f"$: the schema cannot be applied ({error})"
    return f"{worst.json_path}: {excerpt(worst.message, _LONGEST_REASON)}" if worst else ""


def _read(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as opened:
            content = opened.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise SettingsError(f"{file}: the schema is larger than {LARGEST:,} bytes")
        schema = parse(content.decode("utf-8-sig"))
        json.dumps(schema, ensure_ascii=False, allow_nan=False).encode()  # it will be written into a prompt
    except OSError as error:
        raise SettingsError(f"{file}: the schema cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{file}: the schema is not UTF-8 text") from error
    except RecursionError as error:
        raise SettingsError(f"{file}: the schema is nested too deeply") from error
    except ValueError as error:
        raise SettingsError(f"{file}: the schema cannot be read as JSON ({error})") from error
    if not isinstance(schema, dict):
        raise SettingsError(f'{file}: a JSON Schema here is an object, such as {{"type": "object"}}')
    return schema


def _check(schema: dict[str, Any], file: Path) -> None:
    from jsonschema.exceptions import SchemaError

    from ..model.constraint import unsupported

    dialect = schema.get("$schema", "")
    if not isinstance(dialect, str):
        raise SettingsError(f"{file}: $schema is not the name of a dialect")
    try:
        validator(schema).check_schema(schema)
    except SchemaError as error:
        reason = excerpt(error.message, _LONGEST_REASON)
        raise SettingsError(f"{file}: not a JSON Schema, at {error.json_path}: {reason}") from error
    except RecursionError as error:
        raise SettingsError(f"{file}: the schema is nested too deeply") from error
    if found := unsupported(schema):
        raise SettingsError(f"{file}: the answer cannot be held to {', '.join(found)}")
