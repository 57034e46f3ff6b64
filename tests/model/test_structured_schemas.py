"""Two hundred JSON Schemas, and documents that the demo model writes for them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from itertools import product
from typing import Any

import pytest
import pytest_asyncio
from jsonschema import Draft202012Validator

from gptoss_tui.harmony import render
from gptoss_tui.harmony.message import Conversation, Message, Role, SystemPrompt
from gptoss_tui.model import load_tokenizer
from gptoss_tui.model.constraint import END, Constraint, Edge, State, unsupported
from gptoss_tui.model.demo import checkpoint_path
from gptoss_tui.model.engine import EngineError, Finished, Request, Sampling, Token
from gptoss_tui.model.engine.local import LocalEngine

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKENIZER = load_tokenizer(checkpoint_path())
PROMPT = "<|start|>user<|message|>Hello.<|end|><|start|>assistant"
RETURN = TOKENIZER.encode_single_token("<|return|>")

SCALARS: list[dict[str, Any]] = [
    {"type": "null"},
    {"type": "boolean"},
    {"type": "integer"},
    {"type": "number"},
    {"type": "string"},
    {"type": ["string", "null"]},
    {"type": "integer", "minimum": 10},
    {"type": "integer", "maximum": -3},
    {"type": "integer", "minimum": -5, "maximum": 105},
    {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 2},
    {"type": "integer", "multipleOf": 7},
    {"type": "integer", "multipleOf": 12, "minimum": 100, "maximum": 1000},
    {"type": "number", "minimum": 0, "maximum": 1},
    {"type": "number", "exclusiveMinimum": 0},
    {"type": "number", "minimum": -273.15},
    {"type": "number", "exclusiveMaximum": 99.5},
    {"type": "number", "multipleOf": 0.5},
    {"type": "string", "minLength": 3},
    {"type": "string", "maxLength": 4},
    {"type": "string", "minLength": 2, "maxLength": 2},
    {"type": "string", "maxLength": 0},
    {"type": "string", "pattern": "^[a-z]+$"},
    {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3}$"},
    {"type": "string", "pattern": "o"},
    {"type": "string", "pattern": "^(red|green|blue)( light)?$"},
    {"type": "string", "pattern": "^a", "minLength": 3, "maxLength": 9},
    *({"type": "string", "format": name} for name in ("date", "time", "date-time", "duration", "uuid")),
    *({"type": "string", "format": name} for name in ("email", "hostname", "ipv4", "ipv6", "uri")),
    {"type": "string", "format": "nobody-knows-this-one"},
    {"enum": ["low", "medium", "high"]},
    {"enum": [1, 2.5, None, True, "a", [1], {"b": []}]},
    {"const": "the only one"},
    {"const": {"nested": [1, {"deep": None}]}},
    {"const": 'quote " backslash \\ newline \n é 😀'},
]
SHAPES = ("property", "optional", "array", "union", "definition", "map")


def shaped(shape: str, inner: dict[str, Any]) -> dict[str, Any]:
    match shape:
        case "property":
            return {
                "type": "object",
                "properties": {"a": inner, "b": {"type": "boolean"}},
                "required": ["a", "b"],
                "additionalProperties": False,
            }
        case "optional":
            return {"type": "object", "properties": {"name": {"type": "string"}, "value": inner}}
        case "array":
            return {"type": "array", "items": inner, "minItems": 1, "maxItems": 3}
        case "union":
            return {"anyOf": [{"type": "object", "properties": {"v": inner}, "required": ["v"]}, inner]}
        case "definition":
            defs = {"it": inner, "pair": {"type": "array", "prefixItems": [{"$ref": "#/$defs/it"}] * 2}}
            return {"$defs": defs, "$ref": "#/$defs/pair", "minItems": 2}
        case _:
            return {"type": "object", "additionalProperties": inner, "maxProperties": 2}


BY_HAND: list[dict[str, Any]] = [
    {},
    {"type": "object"},
    {"type": "array"},
    {"type": ["object", "array"]},
    {"title": "only words", "description": "about it", "$comment": "nothing", "examples": [1], "default": 2},
    {"properties": {"a": True, "b": False}},
    {
        "type": "object",
        "properties": {"größe": {"type": "integer"}, "名前": {"type": "string"}},
        "required": ["名前"],
    },
    {"type": "object", "properties": {'a"b\\c': {"type": "null"}}, "required": ['a"b\\c']},
    {"type": "object", "required": ["undeclared"]},
    {"type": "object", "properties": {}, "additionalProperties": False},
    {"type": "array", "items": False},
    {
        "type": "array",
        "prefixItems": [{"type": "string"}, {"type": "integer"}],
        "items": False,
        "minItems": 2,
    },
    {"type": "array", "items": {"type": "array", "items": {"type": "integer"}, "maxItems": 2}, "minItems": 2},
    {"type": "array", "minItems": 5, "items": {"enum": [0, 1]}, "uniqueItems": False},
    {"allOf": [{"type": "integer"}, {"minimum": 3}, {"maximum": 8}]},
    {"allOf": [{"properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"type": "object"}]},
    {"allOf": [{"type": "string", "pattern": "^a"}, {"pattern": "z$"}]},
    {"oneOf": [{"type": "string"}, {"type": "integer"}]},
    {"minimum": 5, "minLength": 2, "minItems": 1},
    {"type": "object", "patternProperties": {"^x-": {"type": "integer"}}, "additionalProperties": False},
    {
        "type": "object",
        "patternProperties": {"^n_": {"type": "number"}},
        "properties": {"s": {"type": "string"}},
    },
    {"$defs": {"a/b~c": {"type": "boolean"}}, "$ref": "#/$defs/a~1b~0c"},
    {"$id": "https://example.com/root", "$defs": {"t": {"$anchor": "tag", "enum": ["x"]}}, "$ref": "#tag"},
    {
        "type": "object",
        "properties": {"value": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
        "required": ["value", "next"],
        "additionalProperties": False,
    },
    {
        "$defs": {
            "tree": {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "maxLength": 5},
                    "children": {"type": "array", "items": {"$ref": "#/$defs/tree"}},
                },
                "required": ["name", "children"],
            }
        },
        "$ref": "#/$defs/tree",
    },
    {
        "$defs": {
            "cat": {"type": "object", "properties": {"kind": {"const": "cat"}}, "required": ["kind"]},
            "dog": {"type": "object", "properties": {"kind": {"enum": ["dog", "pup"]}}, "required": ["kind"]},
        },
        "oneOf": [{"$ref": "#/$defs/cat"}, {"$ref": "#/$defs/dog"}],
        "discriminator": {"propertyName": "kind"},
    },
    {
        "type": "object",
        "properties": {
            "steps": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"explanation": {"type": "string"}, "output": {"type": "string"}},
                    "required": ["explanation", "output"],
                    "additionalProperties": False,
                },
                "minItems": 2,
            },
            "final_answer": {"type": "string"},
            "confidence": {"type": "number", "minimum": 0, "maximum": 1},
        },
        "required": ["steps", "final_answer", "confidence"],
        "additionalProperties": False,
    },
    {
        "type": "object",
        "properties": {f"field_{n}": {"type": "string", "minLength": n} for n in range(6)},
        "required": [f"field_{n}" for n in range(6)],
    },
]


def all_schemas() -> Iterator[dict[str, Any]]:
    yield from BY_HAND
    yield from SCALARS
    combined = list(product(SHAPES, SCALARS))
    # Every second one of the combinations, so that each shape and each scalar comes often enough.
    yield from (shaped(shape, dict(inner)) for shape, inner in combined[::2])
    yield from (
        shaped(outer, shaped(inner, SCALARS[n])) for n, (outer, inner) in enumerate(product(SHAPES, SHAPES))
    )


EVERY = 5
"""One in so many is tried by default; `make test-slow` tries the others."""

SCHEMAS = list({json.dumps(schema): schema for schema in all_schemas()}.values())[:200]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalEngine]:
    log = tmp_path_factory.mktemp("log") / "engine.log"
    engine = LocalEngine(checkpoint_path(), name="demo", device="cpu", threads=1, log=log)
    yield engine
    await engine.close()


def control(name: str) -> int:
    return TOKENIZER.encode_single_token(f"<|{name}|>")


async def generate(
    engine: LocalEngine, states: tuple[State, ...], sampling: Sampling, *, strict: bool = True
) -> tuple[str, Finished]:
    """The demo model's text within `states`, and the reason for its end."""
    constraint = Constraint(states, start=0, strict=strict, restart=control("start"), restarted=0)
    prompt = render(Conversation(SystemPrompt(), messages=[Message(Role.USER, "Hello.")]), TOKENIZER)
    tokens, end = [], None
    async for item in engine.generate(Request(tuple(prompt), sampling, (RETURN,), constraint)):
        if isinstance(item, Token):
            tokens.append(item.id)
        elif isinstance(item, Finished):
            end = item
    assert end is not None
    return TOKENIZER.decode(tokens, errors="strict"), end


async def test_there_are_two_hundred_different_ones() -> None:
    assert len(SCHEMAS) == 200


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param(s, marks=[pytest.mark.slow] if n % EVERY else [], id=str(n))
        for n, s in enumerate(SCHEMAS)
    ],
)
async def test_every_document_parses_and_fits(engine: LocalEngine, schema: dict[str, Any]) -> None:
    assert unsupported(schema) == []
    states = (State((Edge("", RETURN, END),), "json", json.dumps(schema)),)
    sampling = Sampling(temperature=1.0, seed=len(json.dumps(schema)), max_tokens=96)
    text, end = await generate(engine, states, sampling)
    assert end.reason == "stop"
    Draft202012Validator(schema).validate(json.loads(text.removesuffix("<|return|>")))


@pytest.mark.parametrize("strict", [True, False])
async def test_only_the_body_of_the_final_message_is_json(engine: LocalEngine, strict: bool) -> None:
    """Some reasoning, then an answer; when not strict, the model must find the way to its body by itself."""
    schema = BY_HAND[-2]
    states = (
        State((Edge("", control("channel"), 1),)),
        State((Edge("analysis", control("message"), 2), Edge("final", control("message"), 4))),
        State((Edge("", control("end"), 3),), "any"),
        State((Edge("", control("start"), 5),)),
        State((Edge("", RETURN, END),), "json", json.dumps(schema)),
        State((Edge("assistant", control("channel"), 1),)),
    )
    answers = 0
    for seed in range(4):
        sampling = Sampling(temperature=1.5 if strict else 0.7, seed=seed, max_tokens=160)
        text, _ = await generate(engine, states, sampling, strict=strict)
        *_, header, body = text.replace("<|start|>assistant", "").rsplit("<|message|>", 1)
        if strict:
            assert header.endswith(("<|channel|>analysis", "<|channel|>final"))
        if header.endswith("<|channel|>final"):
            answers += body.endswith("<|return|>")
            Draft202012Validator(schema).validate(json.loads(body.removesuffix("<|return|>")))
    assert answers >= 2


async def test_a_refused_schema_leaves_the_engine_usable(engine: LocalEngine) -> None:
    refused = (State((Edge("", RETURN, END),), "json", '{"not": {}}'),)
    with pytest.raises(EngineError, match=r"cannot be held to this JSON Schema: .*not"):
        await generate(engine, refused, Sampling(max_tokens=5))
    text, _ = await generate(engine, (State((Edge("Hi", RETURN, END),)),), Sampling(temperature=1.5))
    assert text == "Hi<|return|>"
