"""The arguments of a call: the JSON object that the model wrote, checked against the tool's JSON Schema.

Every tool with arguments reads them here, and tells the model in one form which of them do not fit. The
fields of a function of the person's are checked by pydantic instead, which knows the type hints behind the
schema.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Self

from .json_schema import parse, validator

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

MOST_PROBLEMS = 10

MISSING = "is missing"
UNKNOWN = "there is no such field"

# Beside one of these keywords, `properties` may not list every field.
_OPEN = {"additionalProperties", "patternProperties", "unevaluatedProperties", "$ref", "if"}
_OPEN |= {"allOf", "anyOf", "oneOf"}


class ArgumentsError(Exception):
    """The arguments of a call do not fit; the message tells the model what is wrong with each."""

    @classmethod
    def of(cls, problems: Iterable[tuple[str, str]]) -> Self:
        """The error for fields, by name, and what is wrong with them; the first few are listed."""
        lines = [f"- {field or 'arguments'}: {what}" for field, what in islice(problems, MOST_PROBLEMS)]
        return cls("\n".join(["The arguments do not fit:", *lines]))


def json_text(body: str) -> str:
    """The JSON in `body`, without the code fence that models often put around it; "{}" if `body` is empty."""
    text = body.strip()
    first, _, rest = text.partition("\n")
    if first.strip() in ("```", "```json") and rest.endswith("```"):
        text = rest.removesuffix("```").strip()
    return text or "{}"


def json_object(body: str) -> dict[str, Any]:
    """The object in `body`; raises ArgumentsError, with the place where the text is not JSON."""
    try:
        arguments = parse(json_text(body))
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise ArgumentsError(f"The arguments are not valid JSON at {place}: {error.msg}.") from error
    except (ValueError, RecursionError) as error:
        why = (str(error).splitlines() or [""])[0]
        raise ArgumentsError(f"The arguments are not valid JSON: {why}.") from error
    if not isinstance(arguments, dict):
        raise ArgumentsError(f"Expected a JSON object of arguments, got {type(arguments).__name__}.")
    return arguments


def check(arguments: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """Compare `arguments` with `schema`; raises ArgumentsError with each field that does not fit.

    A field that the schema does not list is refused, unless the schema says something about such fields. A
    schema that cannot be applied refuses nothing: its author judges the call. A regular expression can hang,
    so other people's schemas are applied in a process that can be ended.
    """
    if problems := list(islice(_problems(arguments, schema), MOST_PROBLEMS)):
        raise ArgumentsError.of(problems)


def _problems(arguments: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    from jsonschema.exceptions import SchemaError, UnknownType
    from referencing.exceptions import Unresolvable

    listed = schema.get("properties")
    if isinstance(listed, Mapping) and not _OPEN & schema.keys():
        yield from ((name, UNKNOWN) for name in arguments if name not in listed)
    inapplicable = (SchemaError, UnknownType, Unresolvable, RecursionError, re.error)
    try:
        yield from map(_problem, validator(schema).iter_errors(arguments))
    except (*inapplicable, TypeError, AttributeError, ValueError):
        return


def _problem(error: ValidationError) -> tuple[str, str]:
    field = error.json_path.removeprefix("$").removeprefix(".")
    if missing := re.match(r"'([^']+)' is a required property", error.message):
        return f"{field}.{missing[1]}".removeprefix("."), MISSING
    return field, error.message[:200]
