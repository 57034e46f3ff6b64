"""Invented functions: names, descriptions, parameters, and the ways in which people ask for them.

The pieces are drawn anew for every function; a quarter of the names and more of the values consist of
syllables, so that the name and the arguments of a call can only come from the prompt.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any

from gptoss_tui.harmony.message import Function

from .familiar import FAMILIAR
from .invented import (
    COLOURS,
    invent_decimal,
    invent_deed,
    invent_integer,
    invent_label,
    invent_phrase,
    invent_thing,
    invent_word,
)
from .parameter import KINDS, Parameter
from .phrasing import phrases


@dataclass(frozen=True, slots=True)
class DeclaredFunction:
    """A function of the developer message, and the phrasings in which people ask for it.

    Each phrasing has a blank {NAME} for each parameter that it mentions; the person names the others.
    """

    name: str
    description: str
    parameters: tuple[Parameter, ...]
    asks: tuple[str, ...]

    @property
    def function(self) -> Function:
        """The function for the renderer."""
        if not self.parameters:
            return Function(self.name, self.description, None)
        schema: dict[str, Any] = {
            "type": "object",
            "properties": {parameter.name: parameter.schema for parameter in self.parameters},
        }
        if required := [parameter.name for parameter in self.parameters if parameter.required]:
            schema["required"] = required
        return Function(self.name, self.description, schema)

    @property
    def recipient(self) -> str:
        """The recipient of a call."""
        return f"functions.{self.name}"


LOOKUPS = phrases(
    """
What is the {a} of {x}?|What's the {a} of {x}?|what is the {a} of the {t} {x}|Tell me the {a} of {x}.|
Get the {a} of {x}.|{a} of {x}|I need the {a} of {x}.|Please look up the {a} of {x}.|Give me the {a} of {x}|
Which {a} does {x} have?|Find the {a} of the {t} {x}.|Can you get the {a} of {x}?|the {a} for {x} please|
What {a} has {x}?|Show me the {a} of {x}.|Do you know the {a} of {x}?|How about the {a} of {x}?|
Could you tell me the {a} of {x}?|I'd like to know the {a} of {x}|fetch the {a} of {x}|
what about the {a} of {x}?|
Please tell me the {a} of the {t} {x}.|{x}: what is its {a}?|check the {a} of {x}|
I want the {a} for the {t} {x}
"""
)
ACTIONS = phrases(
    """
{v} {x}|{v} {x}.|Please {v} {x}.|Can you {v} {x}?|{v} the {t} {x}|I want you to {v} {x}.|
Please {v} the {t} {x}.|
Could you {v} {x}?|{v} {x} for me|I need to {v} {x}.|go and {v} {x}|Would you {v} {x}, please?|now {v} {x}|
Let's {v} {x}.|{v} {x}, please.|Help me {v} {x}|the {t} {x}: {v} it|You should {v} {x}.|I'd like to {v} {x}
"""
)
PATHS = phrases(
    """
{a} from {x} to {y}|What is the {a} from {x} to {y}?|Find a {a} from {x} to {y}.|
I need a {a} from {x} to {y}.|
How is the {a} between {x} and {y}?|Get me the {a} from {x} to {y}.|Show the {a} from {x} to {y}|
Please find the {a} from {x} to {y}.|is there a {a} from {x} to {y}?|Which {a} goes from {x} to {y}?|
Look up the {a} between {x} and {y}|give me the {a} from {x} to {y}
"""
)
STATES = phrases(
    """
What is the {a}?|What's the current {a}?|Tell me the {a}.|{a}?|Get the {a}.|current {a}|Show me the {a}.|
What is the {a} now?|Please get the {a}.|I need the {a}.|Check the {a}.|Give me the {a}|how is the {a}?|
Can you tell me the {a}?|what's the {a} right now
"""
)
EXPLICIT = phrases(
    """
Call {f} with {p}.|Use {f} with {p}.|Run {f} with {p}.|call {f}: {p}|Please call {f} with {p}|{f} with {p}|
Execute {f} with {p}.|Use the function {f} with {p}.|Can you call {f} with {p}?|
I want you to call {f} with {p}.|
Try {f} with {p}.|Invoke {f} with {p}|{f}: {p}|Please use {f} for {p}.|Make a call of {f} with {p}.
"""
)
EXPLICIT_BARE = phrases(
    """
Call {f}.|Use {f}.|Run {f}|call {f}|Please call {f}.|Execute {f}.|Can you call {f}?|{f}|Invoke {f}.|
Use the function {f}.|Try {f}.
"""
)
EXTRA_JOINS = (
    ", {k} {v}",
    " with {k} {v}",
    " and {k} {v}",
    ", {k}: {v}",
    " ({k}: {v})",
    ", {k} = {v}",
    " with {v} as {k}",
    "; {k} is {v}",
)


def invent_functions(rng: random.Random, count: int) -> tuple[DeclaredFunction, ...]:
    """That many functions, all with different names."""
    found: dict[str, DeclaredFunction] = {}
    while len(found) < count:
        declared = rng.choices((_lookup, _action, _path, _state, _familiar), (34, 26, 9, 7, 24))[0](rng)
        found.setdefault(declared.name, declared)
    return tuple(found.values())


def _joined(rng: random.Random, *words: str) -> str:
    """The words as a function's name: mostly in snake case."""
    style = rng.random()
    if style < 0.8:
        return "_".join(words)
    if style < 0.92:
        return words[0] + "".join(word.capitalize() for word in words[1:])
    return "".join(word.capitalize() for word in words)


def _extras(rng: random.Random, taken: set[str]) -> tuple[Parameter, ...]:
    """Up to three more parameters, some optional; a list comes last, as its end is ambiguous elsewhere."""
    extras: list[Parameter] = []
    for _ in range(rng.choices((0, 1, 2, 3), (50, 30, 14, 6))[0]):
        name = (
            invent_thing(rng) if rng.random() < 0.75 else _joined(rng, invent_thing(rng), invent_thing(rng))
        )
        if name in taken:
            continue
        taken.add(name)
        kind = rng.choice(KINDS)
        if kind == "list" and any(one.kind == "list" for one in extras):
            kind = "label"
        choices = (
            tuple(
                sorted(
                    {
                        invent_thing(rng) if rng.random() < 0.7 else rng.choice(COLOURS)
                        for _ in range(rng.randint(2, 4))
                    }
                )
            )
            if kind == "choice"
            else ()
        )
        extras.append(Parameter(name, kind, rng.random() < 0.6, choices, _described(rng, name)))
    return tuple(sorted(extras, key=lambda one: one.kind == "list"))


def _described(rng: random.Random, name: str) -> str:
    """The description of a parameter, which is mostly left out."""
    if rng.random() < 0.65:
        return ""
    spoken = name.replace("_", " ")
    return rng.choice(
        (
            f"The {spoken}.",
            f"The {spoken} to use.",
            f"Which {spoken}.",
            f"The {spoken} of the {invent_thing(rng)}.",
            invent_phrase(rng).capitalize() + ".",
        )
    )


def _lookup(rng: random.Random) -> DeclaredFunction:
    a, t = invent_thing(rng), invent_thing(rng)
    name = _joined(
        rng,
        *rng.choice(
            (
                ("get", a),
                (a, "of", t),
                ("lookup", a),
                ("find", a),
                (t, a),
                ("fetch", t, a),
                (a,),
                ("get", t, a),
                (invent_thing(rng), a),
            )
        ),
    )
    described = rng.choice(
        (
            f"Get the {a} of a {t}.",
            f"Returns the {a} for a given {t}.",
            f"Looks up the {a} of the {t}.",
            f"The {a} of a {t}.",
            f"Find the {a} of a {t}.",
        )
    )
    key = rng.choice((t, t, t, f"{t}_name", f"{t}_id", "name", "id", invent_thing(rng)))
    first = Parameter(key, rng.choice(("label", "label", "label", "code")), True, (), _described(rng, key))
    return DeclaredFunction(name, described, (first, *_extras(rng, {key})), _asks(LOOKUPS, key, a=a, t=t))


def _action(rng: random.Random) -> DeclaredFunction:
    v, t = invent_deed(rng), invent_thing(rng)
    name = _joined(rng, *rng.choice(((v, t), (v,), ("do", v), (v, "the", t), (t, v), (v, invent_thing(rng)))))
    described = rng.choice(
        (
            f"{v.capitalize()} a {t}.",
            f"{v.capitalize()} the given {t}.",
            f"Use this to {v} a {t}.",
            f"{v.capitalize()}s the {t}.",
        )
    )
    key = rng.choice((t, t, f"{t}_name", "name", "target", invent_thing(rng)))
    first = Parameter(
        key,
        rng.choice(("label", "label", "label", "integer", "code", "phrase")),
        True,
        (),
        _described(rng, key),
    )
    return DeclaredFunction(name, described, (first, *_extras(rng, {key})), _asks(ACTIONS, key, v=v, t=t))


def _path(rng: random.Random) -> DeclaredFunction:
    a, t = invent_thing(rng), invent_thing(rng)
    name = _joined(rng, *rng.choice((("find", a), (a,), ("get", a), (a, "between"), (t, a))))
    described = rng.choice(
        (
            f"Find the {a} from one {t} to another.",
            f"The {a} between two {t}s.",
            f"Get a {a} from here to there.",
        )
    )
    first, second = rng.choice(
        (
            ("origin", "destination"),
            ("start", "end"),
            ("source", "target"),
            (f"from_{t}", f"to_{t}"),
            ("a", "b"),
        )
    )
    parameters = (Parameter(first, "label"), Parameter(second, "label"), *_extras(rng, {first, second}))
    asks = tuple(
        ask.replace("{a}", a).replace("{x}", f"{{{first}}}").replace("{y}", f"{{{second}}}") for ask in PATHS
    )
    return DeclaredFunction(name, described, parameters, asks)


def _state(rng: random.Random) -> DeclaredFunction:
    a = invent_thing(rng)
    name = _joined(rng, *rng.choice((("get", a), ("current", a), (a,), ("read", a), (a, "now"))))
    described = rng.choice((f"The current {a}.", f"Get the {a}.", f"Returns the {a}."))
    return DeclaredFunction(name, described, (), tuple(ask.replace("{a}", a) for ask in STATES))


def _familiar(rng: random.Random) -> DeclaredFunction:
    name, described, parameters, asks = rng.choice(FAMILIAR)
    if rng.random() < 0.4:
        name = _joined(rng, *name.split("_"), invent_thing(rng))
    return DeclaredFunction(name, described, parameters, tuple(asks.split("|")))


def _asks(templates: list[str], key: str, **blanks: str) -> tuple[str, ...]:
    asks = []
    for template in templates:
        ask = template.replace("{x}", f"{{{key}}}")
        for blank, word in blanks.items():
            ask = ask.replace(f"{{{blank}}}", word)
        asks.append(ask)
    return tuple(asks)


def invent_result(rng: random.Random) -> str:
    """A function's result: a string, or JSON as the worker writes it."""
    kind = rng.random()
    if kind < 0.2:
        return str(invent_integer(rng))
    if kind < 0.3:
        return str(invent_decimal(rng))
    if kind < 0.45:
        return invent_label(rng)
    if kind < 0.6:
        return invent_phrase(rng)
    if kind < 0.66:
        return rng.choice(("true", "false", "null", "ok", "done", "[]"))
    if kind < 0.75:
        return json.dumps([invent_integer(rng) for _ in range(rng.randint(1, 5))])
    if kind < 0.8:
        return json.dumps([invent_word(rng) for _ in range(rng.randint(1, 4))])
    pairs = {invent_word(rng): _scalar(rng) for _ in range(rng.randint(1, 3))}
    return json.dumps(pairs)


def _scalar(rng: random.Random) -> object:
    return rng.choice(
        (invent_integer, invent_decimal, invent_label, invent_word, lambda r: r.random() < 0.5)
    )(rng)
