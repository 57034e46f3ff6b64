"""The arguments of the browser's tools, read leniently where models depart from the schemas."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..arguments import check, json_object

_DIGITS = re.compile(r"[0-9]{1,9}")
_LARGEST = 10**9


def parse(arguments: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The given arguments, of the types in the JSON Schema `parameters`.

    Null and absent are the same. Numbers are whole, and digits in a field that takes a number or a string
    ("id") are a number. Raises ArgumentsError.
    """
    given = {name: value for name, value in json_object(arguments).items() if value is not None}
    properties = {name: _in_whole_numbers(field) for name, field in parameters["properties"].items()}
    check(given, {**parameters, "properties": properties})
    return {name: _value(value, properties[name]["type"]) for name, value in given.items()}


def _in_whole_numbers(field: Mapping[str, Any]) -> dict[str, Any]:
    types = [field["type"]] if isinstance(field["type"], str) else field["type"]
    whole = ["integer" if one == "number" else one for one in types]
    return {"type": whole, "minimum": -_LARGEST, "maximum": _LARGEST}


def _value(value: Any, types: list[str]) -> Any:
    digits = "integer" in types and isinstance(value, str) and _DIGITS.fullmatch(value.strip())
    return int(value) if digits or isinstance(value, float) else value
