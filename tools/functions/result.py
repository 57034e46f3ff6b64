"""What a function gives back, as text."""

from __future__ import annotations

import json
from typing import Any


def as_text(result: Any) -> str:
    """What the model is told of a function's result: a string as it is, anything else as JSON.

    Raises ValueError when it is neither.
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
