"""The automaton against brute force, and JSON bodies against Python's own reader and jsonschema."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiktoken
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from numpy.typing import NDArray

from gptoss_tui.model import load_model, load_tokenizer
from gptoss_tui.model.constraint import END, Constraint, Edge, State, unsupported
from gptoss_tui.model.constraint.automaton import Automaton
from gptoss_tui.model.constraint.json_body import Schemas
from gptoss_tui.model.constraint.vocabulary import Vocabulary
from gptoss_tui.model.engine import EngineError, Finished, Request, Sampling, Token
from gptoss_tui.model.engine.decoder import Decoder
from gptoss_tui.model.engine.wire import WIRE

ROWS = 320
FIRST_CONTROL = 268
DOCUMENTS = ["tin", 12, 120, {"k": [1, "the"]}, "té"]
CHOICE = json.dumps({"enum": DOCUMENTS})


@pytest.fixture(scope="module")
def checkpoint(tiny_checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    shape = {"num_hidden_layers": 1, "num_local_experts": 2, "num_experts_per_tok": 1}
    return tiny_checkpoint(tmp_path_factory.mktemp("tiny"), **shape)


@pytest.fixture(scope="module")
def tokenizer(checkpoint: Path) -> tiktoken.Encoding:
    """The 256 bytes, twelve merges, nine control tokens, and reserved ones up to 320."""
    return load_tokenizer(checkpoint)


@pytest.fixture(scope="module")
def schemas(tokenizer: tiktoken.Encoding) -> Schemas:
    return Schemas(Vocabulary(tokenizer, ROWS))


@pytest.fixture(scope="module")
def wide(o200k: tiktoken.Encoding) -> Schemas:
    """The released vocabulary, beside as many logits as the released models have."""
    return Schemas(Vocabulary(o200k, 201_088))


def control(tokenizer: tiktoken.Encoding, name: str) -> int:
    return tokenizer.encode_single_token(f"<|{name}|>")


def ids_of(allowed: NDArray[np.bool_] | None) -> list[int] | None:
    """The ids that a mask allows; None where nothing is enforced."""
    return None if allowed is None else np.flatnonzero(allowed).tolist()


# The oracle: a sample is a sequence of symbols, bytes and control tokens, and is read anew from its start.

Symbols = list[int]  # bytes as they are, control tokens as -1 - id


def symbols(tokenizer: tiktoken.Encoding, ids: Sequence[int]) -> Symbols:
    """What `ids` are, without asking the vocabulary under test."""
    found: Symbols = []
    for token in ids:
        # In this vocabulary everything from the first control token on is one, or reserved.
        found += [-1 - token] if token >= FIRST_CONTROL else tokenizer.decode_single_token_bytes(token)
    return found


DOCUMENT_TEXTS = sorted(
    {
        json.dumps(document, ensure_ascii=False, separators=separators).encode()
        for document in DOCUMENTS
        for separators in ((",", ":"), (", ", ":"), (",", ": "), (", ", ": "))
    }
)


def is_prefix(constraint: Constraint, at: int, sample: Symbols) -> bool:
    """Whether some sample from state `at` on begins with `sample`."""
    if at == END:
        return True
    state = constraint.states[at]
    for edge in state.edges:
        if state.body == "any":
            size = next((n for n, symbol in enumerate(sample) if symbol < 0), len(sample))
            ways = [sample[:size]]
        elif state.body == "json":
            ways = [list(text) for text in DOCUMENT_TEXTS]
        else:
            ways = [list(edge.text.encode())]
        for way in ways:
            whole = [*way, -1 - edge.control]
            if sample[: len(whole)] == whole[: len(sample)] and (
                len(sample) <= len(whole) or is_prefix(constraint, edge.to, sample[len(whole) :])
            ):
                return True
    return False


TEXTS = st.sampled_from(["", "the", "th", "thing", " the in", "a", "é", "in\n"])


@st.composite
def constraints(draw: st.DrawFn, bodies: Sequence[str] = ("none", "none", "any", "json")) -> Constraint:
    controls = range(FIRST_CONTROL, FIRST_CONTROL + 9)
    count = draw(st.integers(1, 4))
    states = []
    for _ in range(count):
        body = draw(st.sampled_from(bodies))
        text = TEXTS if body == "none" else st.just("")
        pairs = draw(
            st.lists(st.tuples(text, st.sampled_from(controls)), min_size=1, max_size=4, unique=True)
        )
        edges = tuple(Edge(text, token, draw(st.integers(END, count - 1))) for text, token in pairs)
        states.append(State(edges, body, CHOICE if body == "json" else ""))  # type: ignore[arg-type]
    return Constraint(tuple(states), draw(st.integers(0, count - 1)), True, controls[5], 0)


def going_on(constraint: Constraint, tokenizer: tiktoken.Encoding, sample: list[int]) -> list[int]:
    """Every id that may follow `sample`, by trying all of them."""
    return [
        token
        for token in range(ROWS)
        if is_prefix(constraint, constraint.start, symbols(tokenizer, [*sample, token]))
    ]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(constraint=constraints(("none", "none", "any")), seed=st.integers(0, 2**32))
def test_exactly_what_can_be_gone_on_with_is_allowed(
    tokenizer: tiktoken.Encoding, schemas: Schemas, constraint: Constraint, seed: int
) -> None:
    automaton, sample, generator = Automaton(constraint, schemas), list[int](), random.Random(seed)
    while len(sample) < 8 and (allowed := automaton.allowed()) is not None:
        choices = np.flatnonzero(allowed).tolist()
        assert choices == going_on(constraint, tokenizer, sample)
        sample.append(generator.choice(choices))
        automaton.advance(sample[-1])


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(constraint=constraints(("none", "json", "json")), seed=st.integers(0, 2**32))
def test_in_documents_nothing_else_is_allowed(
    tokenizer: tiktoken.Encoding, schemas: Schemas, constraint: Constraint, seed: int
) -> None:
    """Less may be: of text that is certain, llguidance leaves only the tokenizer's own tokens."""
    automaton, sample, generator = Automaton(constraint, schemas), list[int](), random.Random(seed)
    while len(sample) < 12 and (allowed := automaton.allowed()) is not None:
        choices = np.flatnonzero(allowed).tolist()
        assert choices
        assert set(choices) <= set(going_on(constraint, tokenizer, sample))
        sample.append(generator.choice(choices))
        automaton.advance(sample[-1])


@pytest.mark.parametrize("text", DOCUMENT_TEXTS)
def test_every_document_can_be_written(tokenizer: tiktoken.Encoding, schemas: Schemas, text: bytes) -> None:
    automaton = Automaton(one_state(State((Edge("", 270, END),), "json", CHOICE)), schemas)
    for token in [*tokenizer.encode(text.decode()), 270]:
        allowed = automaton.allowed()
        assert allowed is not None and allowed[token]
        automaton.advance(token)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(constraint=constraints(), seed=st.integers(0, 2**32))
def test_what_a_network_writes_at_random_is_in_the_language(
    tokenizer: tiktoken.Encoding, schemas: Schemas, network: Decoder, constraint: Constraint, seed: int
) -> None:
    sampling = Sampling(temperature=20.0, seed=seed, max_tokens=16)
    request = Request((1, 2, 3), sampling)
    items = network.generate(request, lambda: False, Automaton(constraint, schemas))
    ids = [item.id for item in items if isinstance(item, Token)]
    assert len(ids) == 16
    assert is_prefix(constraint, constraint.start, symbols(tokenizer, ids))


@pytest.fixture(scope="module")
def network(checkpoint: Path) -> Decoder:
    return Decoder(load_model(checkpoint, dtype="float32"), 4096)


def at_random(seed: int) -> Callable[[NDArray[np.bool_] | None], tuple[int, float]]:
    """Draws any allowed token, all alike: what no model would dare."""
    generator = np.random.default_rng(seed)

    def draw(allowed: NDArray[np.bool_] | None) -> tuple[int, float]:
        assert allowed is not None and allowed.any()
        return int(generator.choice(np.flatnonzero(allowed))), 0.0

    return draw


def document(schemas: Schemas, schema: Any, end: int, room: int, seed: int) -> list[int]:
    """The tokens of a document drawn at random, with its end, of `room` at most."""
    constraint = Constraint((State((Edge("", end, END),), "json", json.dumps(schema)),), 0, True, end, 0)
    automaton, draw, ids = Automaton(constraint, schemas), at_random(seed), list[int]()
    while room > len(ids) and end not in ids:
        ids.append(automaton.draw(draw, room - len(ids))[0])
    return ids


CLOSED: list[tuple[dict[str, Any], str]] = [
    ({}, "null"),
    ({"type": "string", "minLength": 5}, '"abcde"'),
    ({"type": "array", "items": {"type": "array", "items": {"type": "number"}}, "minItems": 2}, "[[],[]]"),
    (
        {
            "type": "object",
            "properties": {"a": {"type": "string"}, "b": {"type": "array"}, "c": {"enum": ["yes", "yellow"]}},
            "required": ["a", "b", "c"],
        },
        '{"a":"","b":[],"c":"yellow"}',
    ),
    (
        {
            "type": "object",
            "properties": {"v": {"type": "integer"}, "n": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
            "required": ["v", "n"],
        },
        '{"v":0,"n":null}',
    ),
]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=st.sampled_from(CLOSED), spare=st.integers(0, 60), seed=st.integers(0, 2**32))
def test_a_document_that_fits_is_ended_in_time(
    tokenizer: tiktoken.Encoding, schemas: Schemas, case: tuple[dict[str, Any], str], spare: int, seed: int
) -> None:
    schema, shortest = case
    end = control(tokenizer, "return")
    ids = document(schemas, schema, end, len(shortest) + 1 + spare, seed)
    assert ids[-1] == end
    Draft202012Validator(schema).validate(json.loads(tokenizer.decode_bytes(ids[:-1])))


NAMES = st.sampled_from(["a", "b", "ab", "größe"])
BOUNDS = st.sampled_from([-3, 0, 0.5, 1, 2, 10])


def some(**keywords: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=keywords)


def around(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Schemas that hold others, and beside them keywords that may contradict."""
    lists = st.lists(inner, min_size=1, max_size=2)
    maps = st.dictionaries(NAMES, inner, max_size=3)
    required = st.lists(NAMES, max_size=2, unique=True)
    closed = st.one_of(st.booleans(), inner)
    patterns = st.dictionaries(st.sampled_from(["^a", "b$", "x"]), inner, max_size=1)
    counts = st.integers(0, 3)
    return st.one_of(
        some(type=st.just("object"), properties=maps, required=required, additionalProperties=closed),
        some(properties=maps, patternProperties=patterns, maxProperties=counts, minProperties=counts),
        some(type=st.just("array"), items=closed, prefixItems=lists, minItems=counts, maxItems=counts),
        some(allOf=lists, anyOf=lists, properties=maps),
        some(oneOf=lists, type=st.sampled_from(["object", "string", "integer"])),
    )


SCHEMAS = st.recursive(
    st.one_of(
        some(
            type=st.sampled_from(["integer", "number"]), minimum=BOUNDS, maximum=BOUNDS, multipleOf=st.just(3)
        ),
        some(type=st.just("number"), exclusiveMinimum=BOUNDS, exclusiveMaximum=BOUNDS),
        some(
            type=st.just("string"),
            minLength=st.integers(0, 3),
            maxLength=st.integers(0, 4),
            pattern=st.sampled_from(["^a", "b$", r"\d"]),
        ),
        some(
            enum=st.just([1, "a", None, {"a": 1}, [True]]), type=st.sampled_from(["null", "string", "object"])
        ),
    ),
    around,
    max_leaves=6,
)


@settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)
@given(schema=SCHEMAS, room=st.integers(0, 60), seed=st.integers(0, 2**32))
def test_whatever_is_not_refused_is_kept(
    tokenizer: tiktoken.Encoding, schemas: Schemas, schema: dict[str, Any], room: int, seed: int
) -> None:
    assume(not unsupported(schema))
    end = control(tokenizer, "return")
    ids = document(schemas, schema, end, 400 + room, seed)
    assume(ids[-1] == end)
    Draft202012Validator(schema).validate(json.loads(tokenizer.decode_bytes(ids[:-1])))


@pytest.mark.parametrize("seed", range(3))
def test_documents_in_the_released_vocabulary(wide: Schemas, o200k: tiktoken.Encoding, seed: int) -> None:
    end = control(o200k, "return")
    for schema, _ in CLOSED:
        ids = document(wide, schema, end, 120, seed)
        assert ids[-1] == end
        Draft202012Validator(schema).validate(json.loads(o200k.decode_bytes(ids[:-1])))


def test_masks_are_as_wide_as_the_logits(wide: Schemas, o200k: tiktoken.Encoding) -> None:
    end = control(o200k, "end")
    states = tuple(State((Edge("", end, n),), body, "{}") for n, body in ((1, "any"), (0, "json")))  # type: ignore[arg-type]
    automaton = Automaton(Constraint(states, 0, True, end, 0), wide)
    anything = automaton.allowed()
    automaton.advance(end)
    value = automaton.allowed()
    assert anything is not None and value is not None
    assert anything.shape == value.shape == (201_088,)
    assert anything.sum() == len(o200k._mergeable_ranks) + 1
    assert {o200k.decode_single_token_bytes(token)[:1] for token in ids_of(value) or ()} == {
        bytes([first]) for first in b'"-0123456789[fnt{'
    }
    automaton.advance(o200k.encode_single_token("null"))
    assert ids_of(automaton.allowed()) == [end]


def test_what_a_reader_might_refuse_is_not_written(tokenizer: tiktoken.Encoding, schemas: Schemas) -> None:
    """Nesting beyond Python's stack, and integers of more digits than it reads."""
    end = control(tokenizer, "return")
    for favourite, schema in ((b"[", {}), (b"1", {"type": "integer"})):
        constraint = Constraint((State((Edge("", end, END),), "json", json.dumps(schema)),), 0, True, end, 0)
        automaton, ids = Automaton(constraint, schemas), list[int]()

        def draw(allowed: NDArray[np.bool_] | None, wanted: int = favourite[0]) -> tuple[int, float]:
            assert allowed is not None
            return (wanted if allowed[wanted] else int(np.flatnonzero(allowed)[0])), 0.0

        while end not in ids:
            ids.append(automaton.draw(draw, 100_000 - len(ids))[0])
        assert 100 < len(ids) < 4000
        json.loads(tokenizer.decode_bytes(ids[:-1]))


# Not strict


def test_what_is_not_strict_is_followed_and_only_bodies_are_enforced(
    tokenizer: tiktoken.Encoding, schemas: Schemas
) -> None:
    start, message, final = (control(tokenizer, name) for name in ("start", "message", "return"))
    states = (
        State((Edge("a", message, 1), Edge("b", message, 2))),
        State((Edge("", start, 0),), "any"),
        State((Edge("", final, END),), "json", '{"type": "boolean"}'),
    )
    constraint = Constraint(states, 0, False, start, 0)

    def after(text: str) -> list[int] | None:
        automaton = Automaton(constraint, schemas)
        for token in tokenizer.encode(text, allowed_special="all"):
            automaton.advance(token)
        return ids_of(automaton.allowed())

    body = after("b<|message|>")
    assert [tokenizer.decode([token]) for token in body or ()] == ["f", "t"]
    assert body == after("a<|message|>tin<|start|>b<|message|>")
    strayed = "xyz<|message|>what<|end|><|call|>b<|message|>"
    assert after(strayed) is None
    assert body == after(f"{strayed}<|start|>b<|message|>")
    for text in (
        "",
        "b",
        "a<|message|>tin",
        "b<|message|>true<|return|>",
        "b<|message|>true<|return|><|start|>b<|message|>",
    ):
        assert after(text) is None


# Constraints that cannot be kept


def one_state(state: State, **changes: int) -> Constraint:
    return Constraint((state,), changes.get("start", 0), True, 273, 0)


@pytest.mark.parametrize(
    "schema", ["false", '{"not": {}}', '{"enum": []}', '{"type": "string", "pattern": "(?=a)"}', "{"]
)
def test_a_schema_that_cannot_be_followed_is_refused_before_anything_is_written(
    schemas: Schemas, schema: str
) -> None:
    with pytest.raises(EngineError, match="cannot be held to this JSON Schema"):
        Automaton(one_state(State((Edge("", 270, END),), "json", schema)), schemas)


@pytest.mark.parametrize(
    "constraint", [one_state(State((Edge("", 270, 5),))), one_state(State(()), start=-7)]
)
def test_a_constraint_that_leads_nowhere_is_refused(schemas: Schemas, constraint: Constraint) -> None:
    with pytest.raises(EngineError, match="leads to a state that it does not have"):
        Automaton(constraint, schemas)


@pytest.mark.parametrize(
    "state", [State(()), State((Edge("", ROWS + 5, END),)), State((), "json", '{"const": 1}')]
)
def test_a_dead_end_lets_the_sample_go_on(network: Decoder, schemas: Schemas, state: State) -> None:
    automaton = Automaton(one_state(state), schemas)
    items = list(network.generate(Request((1,), Sampling(max_tokens=8)), lambda: False, automaton))
    assert isinstance(items[-1], Finished)
    assert sum(isinstance(item, Token) for item in items) == 8


# What it costs, and how it travels


def test_llguidance_and_torch_are_not_imported_before_they_are_needed(checkpoint: Path) -> None:
    script = f"""
import sys
from gptoss_tui.model.constraint import unsupported
assert not {{"torch", "numpy", "llguidance"}} & set(sys.modules)
from gptoss_tui.model import load_tokenizer
from gptoss_tui.model.constraint.automaton import Automaton
from gptoss_tui.model.constraint.json_body import Schemas
from gptoss_tui.model.constraint.vocabulary import Vocabulary
from gptoss_tui.model.constraint import END, Constraint, Edge, State
schemas = Schemas(Vocabulary(load_tokenizer({str(checkpoint)!r}), 320))
automaton = Automaton(Constraint((State((Edge("the", 270, END),)),), 0, True, 273, 0), schemas)
assert automaton.allowed().sum() == 2
assert not {{"torch", "llguidance"}} & set(sys.modules)
assert unsupported({{"type": "object"}}) == [] and "llguidance" in sys.modules and "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


@given(constraint=constraints(), prompt=st.lists(st.integers(0, 10**6)))
def test_a_constraint_arrives_as_it_was_sent(constraint: Constraint, prompt: list[int]) -> None:
    sent = Request(tuple(prompt), Sampling(seed=3), (1,), constraint)
    call, received = WIRE.decode(WIRE.encode(7, sent))
    assert (call, received) == (7, sent)


# Schemas that are refused, by name


@pytest.mark.parametrize(
    ("schema", "found"),
    [
        ({"properties": {"a": {"not": {}}}}, ["`not` at /properties/a"]),
        ({"items": {"uniqueItems": True}, "if": {}}, ["`if` at the top", "`uniqueItems` at /items"]),
        ({"properties": {"a/b~": {"contains": {}}}}, ["`contains` at /properties/a~1b~0"]),
        ({"allOf": [{"oneOf": [{}, True]}]}, ["`oneOf` at /allOf/0 (its branches may overlap)"]),
        ({"minProperties": 1}, ["`minProperties` above the number of `required` names at the top"]),
        ({"type": "string", "pattern": "(?!a)b"}, ['`pattern` "(?!a)b" at the top']),
        ({"multipleOf": 0.01}, ["`multipleOf` 0.01, which binary numbers cannot hold exactly, at the top"]),
        ({"allOf": [{"multipleOf": 9973}, {"multipleOf": 9967}]}, ["`multipleOf` 9967 at /allOf/1"]),
        (
            {"exclusiveMinimum": 0, "maximum": 0.1},
            ["`exclusiveMinimum` 0 with an upper bound so close at the top"],
        ),
        ({"$ref": "#"}, ["the schema: no document that fits it ever ends"]),
        (
            {"type": "array", "items": {"$ref": "#"}, "minItems": 1},
            ["the schema: no document that fits it ever ends"],
        ),
    ],
)
def test_what_cannot_be_enforced_is_named_with_its_place(schema: dict[str, Any], found: list[str]) -> None:
    assert unsupported(schema) == found


def test_schemas_that_are_too_much_are_refused_and_not_tried() -> None:
    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"items": deep}
    assert unsupported(deep) == ["schemas nested more than 60 deep"]
    assert "whole" not in unsupported({"minimum": 10**40})[0]


def test_unsupported_schemas_reach_the_engine_as_one_sentence(schemas: Schemas) -> None:
    for schema in ({"$ref": "https://example.com/other"}, {"type": "string", "minLength": 3, "maxLength": 2}):
        assert len(unsupported(schema)) == 1
        with pytest.raises(EngineError) as caught:
            Automaton(one_state(State((Edge("", 270, END),), "json", json.dumps(schema))), schemas)
        assert "\n" not in str(caught.value)
