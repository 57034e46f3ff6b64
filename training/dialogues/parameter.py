"""A parameter of a function, or a key of a JSON answer, and its values."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .calls import Value
from .invented import (
    invent_code,
    invent_date,
    invent_decimal,
    invent_integer,
    invent_label,
    invent_phrase,
    invent_word,
)

KINDS = ("label", "label", "label", "integer", "integer", "number", "boolean", "date", "choice", "list")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter; `kind` is the kind of its values, `choices` are the values if they are few."""

    name: str
    kind: str
    required: bool = True
    choices: tuple[str, ...] = ()
    described: str = ""

    @property
    def schema(self) -> dict[str, Any]:
        """The parameter as JSON Schema."""
        schema: dict[str, Any] = {
            "type": {"integer": "integer", "number": "number", "boolean": "boolean"}.get(self.kind, "string")
        }
        if self.kind == "list":
            schema = {"type": "array", "items": {"type": "string"}}
        if self.choices:
            schema["enum"] = list(self.choices)
        if self.described:
            schema["description"] = self.described
        return schema

    def invent(self, rng: random.Random, held_out: bool) -> Value:
        """A value of the parameter."""
        match self.kind:
            case "integer":
                return invent_integer(rng, held_out)
            case "number":
                return invent_decimal(rng)
            case "boolean":
                return rng.random() < 0.5
            case "date":
                return invent_date(rng)
            case "choice":
                return rng.choice(self.choices)
            case "list":
                return [invent_label(rng, held_out) for _ in range(rng.randint(2, 3))]
        return invent_label(rng, held_out)


def invent_value(rng: random.Random, parameter: Parameter, held_out: bool) -> Value:
    """A value for the parameter, of the wanted side of the split."""
    special: dict[str, Callable[[], str]] = {
        "code": lambda: invent_code(rng),
        "phrase": lambda: invent_phrase(rng),
        "path": lambda: f"{invent_word(rng)}/{invent_word(rng, held_out)}.{rng.choice(('txt', 'md', 'py'))}",
    }
    return special[parameter.kind]() if parameter.kind in special else parameter.invent(rng, held_out)


def typed(rng: random.Random, value: Value) -> str:
    """The value as a person types it."""
    if isinstance(value, bool):
        return rng.choice(("true", "true", "yes") if value else ("false", "false", "no"))
    if isinstance(value, list):
        return f"{', '.join(value[:-1])} and {value[-1]}" if rng.random() < 0.6 else ", ".join(value)
    return str(value)
