"""A model's arguments against a server's JSON Schema. In the host, as a regular expression can hang."""

from __future__ import annotations

import re
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from ..arguments import ArgumentsError

MOST_PROBLEMS = 10

# Beside one of these, `properties` may not be all the fields there are.
_OPEN = {"additionalProperties", "patternProperties", "unevaluatedProperties", "$ref", "if"}
_OPEN |= {"allOf", "anyOf", "oneOf"}


def check(arguments: dict[str, Any], schema: dict[str, Any]) -> None:
    """Raises ArgumentsError with each field that does not fit.

    A field that the schema does not list is refused, unless the schema says something about such fields. A
    schema that cannot be applied is the server's own affair, which then judges for itself.
    """
    problems = [f"- {name}: there is no such field" for name in arguments if _is_strange(name, schema)]
    try:
        validator = validator_for(schema, default=Draft202012Validator)(schema, registry=Registry())
        for error in validator.iter_errors(arguments):
            problems.append(f"- {_problem(error)}")
            if len(problems) >= MOST_PROBLEMS:
                break
    except (SchemaError, Unresolvable, RecursionError, re.error, TypeError, AttributeError, ValueError):
        pass
    if problems:
        raise ArgumentsError("\n".join(["The arguments do not fit:", *problems]))


def _is_strange(name: str, schema: dict[str, Any]) -> bool:
    listed = schema.get("properties")
    return isinstance(listed, dict) and not _OPEN & schema.keys() and name not in listed


def _problem(error: ValidationError) -> str:
    """The field, and what is wrong with it."""
    place = error.json_path.removeprefix("$").removeprefix(".")
    missing = re.match(r"'([^']+)' is a required property", error.message)
    if missing:
        return f"{place}.{missing[1]}: is missing".removeprefix(".")
    return f"{place or 'arguments'}: {error.message[:200]}"
