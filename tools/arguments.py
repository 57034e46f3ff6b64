"""The body of a call as the JSON object that it must be."""

from __future__ import annotations

import json
from typing import Any


class ArgumentsError(Exception):
    """The model's arguments do not fit; the message tells the model what is wrong with each."""


def without_fence(body: str) -> str:
    """The body without the code fence that models like to put around JSON; nothing else is mended."""
    text = body.strip()
    first, _, rest = text.partition("\n")
    if first.strip() in ("```", "```json") and rest.endswith("```"):
        return rest.removesuffix("```").strip()
    return text


def json_object(body: str) -> dict[str, Any]:
    """The object that `body` is; raises ArgumentsError with the place where it is none."""
    try:
        arguments = json.loads(without_fence(body), parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise ArgumentsError(f"The arguments are not valid JSON at {place}: {error.msg}.") from error
    except (ValueError, RecursionError) as error:
        why = (str(error).splitlines() or [""])[0]
        raise ArgumentsError(f"The arguments are not valid JSON: {why}.") from error
    if not isinstance(arguments, dict):
        raise ArgumentsError(f"Expected a JSON object of arguments, got {type(arguments).__name__}.")
    return arguments


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
