"""The arguments of calls: their reading, and the answer to those that do not fit."""

from __future__ import annotations

from typing import Any

import pytest

from gptoss_tui.tools.arguments import MOST_PROBLEMS, ArgumentsError, check, json_object

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


@pytest.mark.parametrize("body", ['{"a": 1}', ' {"a": 1}\n', '```\n{"a": 1}\n```', '```json\n{"a": 1}```'])
def test_a_code_fence_around_the_object_is_left_out(body: str) -> None:
    assert json_object(body) == {"a": 1}


@pytest.mark.parametrize("body", ["", " \n", "```json\n```", "{}"])
def test_an_empty_body_is_a_call_without_arguments(body: str) -> None:
    assert json_object(body) == {}


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ('{"a": 1,}', "not valid JSON at line 1 column"),
        ('{"a": Infinity}', "Infinity is not JSON"),
        ('{"a": ' + "9" * 5000 + "}", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("null", "Expected a JSON object of arguments, got NoneType."),
    ],
)
def test_what_is_no_object_is_refused(body: str, told: str) -> None:
    with pytest.raises(ArgumentsError, match=told):
        json_object(body)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, ["- a: is missing"]),
        ({"a": "1", "b": 2}, ["- b: there is no such field", "- a: '1' is not of type 'integer'"]),
    ],
)
def test_each_wrong_field_is_named(arguments: dict[str, Any], told: list[str]) -> None:
    with pytest.raises(ArgumentsError) as raised:
        check(arguments, SCHEMA)
    assert str(raised.value).splitlines() == ["The arguments do not fit:", *told]


def test_the_list_of_wrong_fields_is_bounded() -> None:
    with pytest.raises(ArgumentsError) as raised:
        check({f"x{number}": 0 for number in range(1000)}, SCHEMA)
    assert len(str(raised.value).splitlines()) == 1 + MOST_PROBLEMS


@pytest.mark.parametrize(
    "field",
    [
        {"type": "strange"},
        {"$ref": "https://example.org/schema"},
        {"pattern": "("},
        {"minimum": "much"},
        {"enum": 1},
    ],
)
def test_a_schema_that_cannot_be_applied_refuses_nothing(field: dict[str, Any]) -> None:
    check({"a": "1" if "pattern" in field else 1}, {"type": "object", "properties": {"a": field}})
