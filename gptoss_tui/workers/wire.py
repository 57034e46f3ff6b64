"""The format between the application and its child processes: each message is a line of JSON.

A line is `[call, message]`. The application numbers its calls, and a child answers under the same number. A
message is plain JSON, or dataclasses that both ends know by name. Both ends are the same build.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from enum import Enum
from typing import Any, get_args, get_origin, get_type_hints

_KIND = "\0"
"""The key of a dataclass's name."""

Restore = Callable[[Any], Any]


class Wire:
    """Writes and reads lines. `kinds` are the dataclasses that may occur anywhere in a message.

    Their fields are plain JSON, other kinds, tuples, enumerations by value, or one of these or None. A
    mapping in a field is encoded as a text inside the line, so that none of its keys can pass for `_KIND`.
    """

    def __init__(self, *kinds: type) -> None:
        self._kinds = {kind.__name__: (kind, _restorers(kind)) for kind in kinds}
        self._fields = {kind: [one.name for one in fields(kind)] for kind in kinds}
        self._hook = self._from_json if kinds else None

    def encode(self, call: int, message: Any) -> bytes:
        """One line, with its newline."""
        # ASCII: a text may hold surrogates, which no other encoding takes.
        return json.dumps([call, message], default=self._to_json).encode("ascii") + b"\n"

    def decode(self, line: bytes) -> tuple[int, Any]:
        """The number of the call and the message; raises ValueError for a line that no `encode` wrote."""
        try:
            call, message = json.loads(line, object_hook=self._hook)
        except (TypeError, KeyError, RecursionError) as error:
            raise ValueError(f"no message: {error!r}") from error
        if not isinstance(call, int):
            raise ValueError(f"no call: {call!r}")
        return call, message

    def _to_json(self, message: Any) -> dict[str, Any]:
        values: dict[str, Any] = {_KIND: type(message).__name__}
        for name in self._fields[type(message)]:
            value = getattr(message, name)
            values[name] = json.dumps(value) if isinstance(value, dict) else value
        return values

    def _from_json(self, values: dict[str, Any]) -> Any:
        kind, restorers = self._kinds[values.pop(_KIND)]
        for field, restore in restorers:
            if values[field] is not None:
                values[field] = restore(values[field])
        return kind(**values)


def _restorers(kind: type) -> list[tuple[str, Restore]]:
    """The fields whose type is lost in JSON, each with the function that restores it."""
    hints = get_type_hints(kind)
    return [(one.name, made) for one in fields(kind) if (made := _restorer(hints[one.name]))]


def _restorer(hint: Any) -> Restore | None:
    kind = get_origin(hint) or hint
    if kind is tuple:
        return _of_each(get_args(hint))
    if kind in (dict, Mapping):
        return json.loads
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind
    either = get_args(hint) if type(None) in get_args(hint) else ()
    return next(filter(None, map(_restorer, either)), None)


def _of_each(hints: tuple[Any, ...]) -> Restore:
    """The restorer of a tuple; the items of a tuple of any length are restored too."""
    restore = _restorer(hints[0]) if hints[1:] == (...,) else None
    return tuple if restore is None else lambda values: tuple(map(restore, values))
