"""Answers as JSON for the schema under `# Response Formats`."""

from __future__ import annotations

import json
import random
from typing import Any

from gptoss_tui.harmony.message import ResponseFormat

from . import arithmetic
from .calls import Value, marked_json, said_python
from .invented import COLOURS, invent_phrase, invent_word
from .parameter import Parameter, invent_value, typed
from .phrasing import copied, phrases
from .scene import Scene, pick, respond
from .turn import DialogueTurn, answer, efforts, think

KINDS = (
    "label",
    "label",
    "label",
    "integer",
    "integer",
    "number",
    "boolean",
    "choice",
    "list",
    "date",
    "phrase",
)
COMMON = phrases(
    "name|title|city|age|count|price|date|colour|done|tags|author|country|year|email|answer|result|score|"
    "summary|kind|population"
)

FILLED = efforts(
    "JSON.",
    "The answer has to be JSON. I take each value from the message, in the order of the schema.",
    "The answer has to be JSON in the given format. I go through the keys of the schema in their order, take "
    "each value from the message exactly as it was typed, and put what was not said as unknown.",
)
LEADS = phrases(
    """
{p}|Extract: {p}|Fill this in: {p}|Here is the text: {p}|Put this into JSON: {p}|Please extract the data: {p}|
Take this: {p}|Convert to JSON: {p}|Read this: {p}|Data: {p}|I have this: {p}|Structure this: {p}|
Make a record of this: {p}|Parse this: {p}|What does this say? {p}|Note this: {p}|
Turn this into the format: {p}
"""
)
FORMS = phrases(
    """
{k}: {v}|The {k} is {v}|{k} = {v}|{k} is {v}|{k} {v}|the {k}: {v}|its {k} is {v}|{v} is the {k}|{k} - {v}|
with {k} {v}|{k}={v}|The {k} was {v}|we have {v} as {k}
"""
)
VAGUE = phrases(
    """
Tell me of {x}.|Tell me about {x}.|What is {x}?|Describe {x}.|{x}|Give me the facts on {x}.|Who is {x}?|
What do you know of {x}?|Something about {x}, please.|I need a record for {x}.
"""
)


def invent_format(rng: random.Random) -> ResponseFormat:
    """A flat schema of one to five keys, as people write them."""
    parameters: dict[str, Parameter] = {}
    for _ in range(rng.choice((1, 2, 2, 3, 3, 4, 5))):
        name = rng.choice(COMMON) if rng.random() < 0.4 else invent_word(rng)
        if rng.random() < 0.12:
            name = f"{name}_{invent_word(rng)}"
        kind = rng.choice(KINDS)
        choices = tuple(
            sorted({invent_word(rng) if rng.random() < 0.7 else rng.choice(COLOURS) for _ in range(3)})
        )
        parameters[name] = Parameter(name, kind, True, choices if kind == "choice" else ())
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {one.name: one.schema for one in parameters.values()},
    }
    if rng.random() < 0.8:
        schema["required"] = list(parameters)
    if rng.random() < 0.6:
        schema["additionalProperties"] = False
    title = invent_word(rng)
    if rng.random() < 0.2:
        schema = {"title": title, **schema}
    described = invent_phrase(rng) if rng.random() < 0.2 else ""
    return ResponseFormat(title, schema, described)


def parameters_of(response_format: ResponseFormat) -> tuple[Parameter, ...]:
    """The keys of an invented schema."""
    found = []
    for name, schema in response_format.schema["properties"].items():
        kind = {"array": "list", "string": "label"}.get(schema["type"], schema["type"])
        choices = tuple(schema.get("enum", ()))
        found.append(Parameter(name, "choice" if choices else kind, True, choices))
    return tuple(found)


def fill(scene: Scene) -> DialogueTurn:
    """The person tells the values, sometimes not all of them."""
    rng = scene.rng
    assert scene.response_format is not None
    parameters = parameters_of(scene.response_format)
    if rng.random() < 0.12:
        return _vague(scene, parameters)
    said = [one for one in parameters if rng.random() < 0.93] or list(parameters)
    values = {one.name: invent_value(rng, _varied(rng, one), scene.held_out) for one in said}
    form = pick(scene, FORMS)
    order = list(said)
    if rng.random() < 0.4:
        rng.shuffle(order)
    gap = rng.choice((", ", "; ", ". ", "\n", ", ", " and "))
    pieces = []
    for one in order:
        if rng.random() < 0.3:
            form = pick(scene, FORMS)
        key = one.name.replace("_", " ") if rng.random() < 0.2 else one.name
        pieces.append(form.replace("{k}", key).replace("{v}", typed(rng, values[one.name])))
    user = pick(scene, LEADS).replace("{p}", gap.join(pieces))
    whole = {one.name: values.get(one.name, _unknown(one)) for one in parameters}
    return DialogueTurn("json", user, respond(scene, FILLED, marked_json(whole)))


def _varied(rng: random.Random, parameter: Parameter) -> Parameter:
    """The parameter, whose string may be a phrase, a date or a code: the schema does not say."""
    if parameter.kind != "label":
        return parameter
    return Parameter(parameter.name, rng.choice(("label", "label", "label", "phrase", "date", "code")))


def _vague(scene: Scene, parameters: tuple[Parameter, ...]) -> DialogueTurn:
    """The person names only a subject: it becomes the first string, all else is unknown."""
    subject = invent_value(scene.rng, Parameter("x", "label"), scene.held_out)
    values: dict[str, Value] = {}
    for one in parameters:
        is_first = one.kind == "label" and subject not in values.values()
        values[one.name] = subject if is_first else _unknown(one)
    user = pick(scene, VAGUE).replace("{x}", str(subject))
    return DialogueTurn("json-vague", user, respond(scene, FILLED, marked_json(values)))


def _unknown(parameter: Parameter) -> Value:
    unknown: dict[str, Value] = {"integer": 0, "number": 0, "boolean": False, "list": []}
    if parameter.choices:
        return parameter.choices[0]
    return unknown.get(parameter.kind, "unknown")


def compute(scene: Scene) -> DialogueTurn:
    """A sum whose answer must be JSON: Python computes it, and the first fitting key gets the result."""
    rng = scene.rng
    assert scene.response_format is not None
    task = arithmetic.invent_sum(rng, scene.held_out)
    result = arithmetic.evaluate(task.code)
    if not scene.python or "Error" in result:
        return fill(scene)
    values: dict[str, Value] = {}
    placed = False
    for one in parameters_of(scene.response_format):
        fits = one.kind in ("label", "number") or (
            one.kind == "integer" and "." not in result and "e" not in result
        )
        values[one.name] = _unknown(one)
        if fits and not placed:
            placed = True
            values[one.name] = result if one.kind == "label" else json.loads(result)
    thought = arithmetic.CALL[scene.effort].replace("{e}", copied(task.code))
    messages = (
        think(thought),
        arithmetic.call_for(task),
        said_python(result),
        answer(marked_json(values)),
    )
    return DialogueTurn("json-sum", arithmetic.phrase(scene, task), messages)
