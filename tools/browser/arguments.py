"""What the model wrote as arguments, checked: every field that is wrong is named, and nothing is guessed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ..arguments import without_fence

_DIGITS = re.compile(r"[0-9]{1,9}")
_LARGEST = 10**9

_TYPES = {"string": "a string", "number": "a whole number", "boolean": "true or false"}


class UsageError(Exception):
    """A call that cannot be carried out, told to the model."""


def parse(arguments: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that were given, of the types the JSON Schema `parameters` asks for.

    Null and absent are the same. Numbers are whole, and of a field that takes a number or a string ("id")
    digits are a number. Raises UsageError.
    """
    text = without_fence(arguments)
    try:
        given = json.loads(text) if text else {}
    except json.JSONDecodeError as error:
        raise UsageError(f"The arguments are not valid JSON at character {error.pos}: {error.msg}.") from None
    except (ValueError, RecursionError):
        raise UsageError(
            "The arguments are not valid JSON: a number is too long, or they nest too deeply."
        ) from None
    if not isinstance(given, dict):
        raise UsageError('The arguments must be a JSON object, as in {"query": "..."}.')

    known = parameters["properties"]
    values, wrong = {}, []
    for name, value in given.items():
        if name not in known:
            wrong.append(f"there is no `{name[:50]}`")
        elif value is not None:
            kinds = known[name]["type"]
            kinds = [kinds] if isinstance(kinds, str) else kinds
            read = _read(value, kinds)
            if read is None:
                wrong.append(f"`{name}` must be {' or '.join(_TYPES[kind] for kind in kinds)}")
            else:
                values[name] = read
    missing = [name for name in parameters.get("required", []) if given.get(name) is None]
    wrong += [f"`{name}` is missing" for name in missing]
    if wrong:
        raise UsageError(
            f"Wrong arguments: {'; '.join(wrong)}. There are {', '.join(f'`{n}`' for n in known)}."
        )
    return values


def _read(value: Any, kinds: list[str]) -> str | int | bool | None:
    """`value` as one of the `kinds`, or None if it is of none."""
    if isinstance(value, bool):
        return value if "boolean" in kinds else None
    if isinstance(value, int | float):
        whole = "number" in kinds and abs(value) <= _LARGEST and value == int(value)
        return int(value) if whole else None
    if isinstance(value, str) and "string" in kinds:
        if "number" in kinds and _DIGITS.fullmatch(value.strip()):
            return int(value)
        return value
    return None
