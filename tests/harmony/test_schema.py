"""JSON Schema to TypeScript: equal to the official library on its subset, and right beyond it."""

from __future__ import annotations

from typing import Any

import openai_harmony as oh
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from gptoss_tui.harmony.schema import typescript

NAMES = st.sampled_from(["city", "unit", "count", "when", "where_to", "x"])
WORDS = st.text(st.characters(categories=["Ll", "Lu", "Nd"]), min_size=1, max_size=8)


def _described(kind: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    comments = st.fixed_dictionaries({}, optional={"description": WORDS, "title": WORDS})
    return st.builds(lambda schema, comment: {**schema, **comment}, kind, comments)


STRINGS = st.builds(
    lambda values, default, nullable: {
        "type": "string",
        **({"enum": values} if values else {}),
        **({"default": default} if default else {}),
        **({"nullable": True} if nullable else {}),
    },
    st.lists(WORDS, max_size=3),
    st.none() | WORDS,
    st.booleans(),
)
OTHERS: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {"type": "integer", "default": 3},
        {"type": "number"},
        {"type": "boolean", "default": True},
        {"type": ["string", "null"]},
        {"type": "array"},
        {},
    ]
)


def _nested(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    objects = st.builds(
        lambda properties, required: {
            "type": "object",
            "properties": properties,
            "required": [name for name in properties if name in required],
        },
        st.dictionaries(NAMES, inner, max_size=4),
        st.sets(NAMES),
    )
    arrays = st.builds(lambda items: {"type": "array", "items": items}, inner)
    unions = st.builds(lambda options: {"oneOf": options}, st.lists(inner, min_size=1, max_size=3))
    return _described(objects | arrays | unions)


SCHEMAS = st.builds(
    lambda properties: {"type": "object", "properties": properties},
    st.dictionaries(NAMES, st.recursive(_described(STRINGS | OTHERS), _nested, max_leaves=8), max_size=5),
)


def _official(official: Any, schema: dict[str, Any]) -> str:
    developer = oh.DeveloperContent.new().with_function_tools([oh.ToolDescription.new("f", "", schema)])
    message = oh.Message.from_role_and_content(oh.Role.DEVELOPER, developer)
    text: str = official.decode(official.render_conversation(oh.Conversation.from_messages([message])))
    return text.split("type f = (_: ")[1].split(") => any;", maxsplit=1)[0]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(schema=SCHEMAS)
def test_equal_to_the_official_library(official: Any, schema: dict[str, Any]) -> None:
    assert typescript(schema) == _official(official, schema)


class Leg(BaseModel):
    """One flight."""

    start: str
    end: str | None = None


class Trip(BaseModel):
    legs: list[Leg]
    back: Leg | None = None
    within: Trip | None = None


def test_what_pydantic_writes_is_understood() -> None:
    shown = typescript(Trip.model_json_schema())
    assert "$ref" not in shown
    assert "start: string," in shown
    assert "end?: string | null, // default: null" in shown
    assert "legs:" in shown and "}[]," in shown
    assert "within?:" in shown


def test_what_the_library_loses_is_kept() -> None:
    def shown(schema: dict[str, Any]) -> str:
        return typescript({"type": "object", "properties": {"a": schema}}).splitlines()[-2]

    assert shown({"enum": [1, "x", None]}) == 'a?: 1 | "x" | null,'
    assert shown({"const": "only"}) == 'a?: "only",'
    assert shown({"type": "string", "enum": ['say "hi"']}) == 'a?: "say \\"hi\\"",'
    assert shown({"anyOf": [{"type": "integer"}, {"type": "null"}]}) == "a?: number | null,"
    assert shown({"allOf": [{"type": "string"}]}) == "a?: string,"
    assert "// two lines\n" in typescript(
        {"type": "object", "properties": {"a": {"type": "string", "description": "two\nlines"}}}
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
KEYWORDS = st.sampled_from(
    ["type", "properties", "required", "items", "enum", "const", "anyOf", "oneOf", "allOf", "$ref", "$defs"]
)


@settings(max_examples=150, deadline=None)
@given(
    schema=st.recursive(
        st.dictionaries(KEYWORDS, JSON, max_size=4),
        lambda inner: st.dictionaries(
            KEYWORDS,
            inner | st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        ),
    )
)
def test_no_schema_however_wrong_raises(schema: dict[str, Any]) -> None:
    assert isinstance(typescript(schema), str)


def test_recursion_ends() -> None:
    schema = {"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}]}}}
    assert isinstance(typescript(schema), str)
