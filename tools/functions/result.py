"""A function's result as text."""

from __future__ import annotations

import json
from typing import Any


def as_text(result: Any) -> str:
    """The text of a function's result for the model: a string as it is, any other value as JSON.

    Raises ValueError for a value that is no JSON.
    """
    if isinstance(result, str):
        return str(result)
    if isinstance(result, bytes | bytearray | memoryview):
        raise ValueError("it returned bytes, which cannot be told to a model; return text")
    from pydantic_core import to_jsonable_python

    try:
        return json.dumps(to_jsonable_python(result), ensure_ascii=False)
    except (ValueError, RecursionError) as error:
        why = (str(error).splitlines() or [""])[0]
        raise ValueError(f"its result cannot be told to a model as JSON: {why}") from error
