"""Rules over calls: what a pattern covers, and what it must never cover."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss_tui.kinds.glob import fits, literal
from gptoss_tui.permissions.rules import FIRST, Call, Rule, RuleError, Rules, read_rules

SEND = {"properties": {"to": {"type": "string"}, "cc": {"default": "nobody"}, "count": {"type": "number"}}}
TEXTS = st.text(st.sampled_from("ab*\\(),=. \n"), max_size=12)


def as_regex(pattern: str) -> str:
    """The meaning of a pattern, written down a second time."""
    meaning, rest = "", pattern
    while rest:
        if rest[0] == "*":
            meaning += ".*"
        elif rest[0] == "\\" and len(rest) > 1:
            rest = rest[1:]
            meaning += re.escape(rest[0])
        else:
            meaning += re.escape(rest[0])
        rest = rest[1:]
    return meaning


@given(TEXTS, TEXTS)
def test_a_pattern_means_what_it_says(pattern: str, text: str) -> None:
    assert fits(pattern, text) is (re.fullmatch(as_regex(pattern), text, re.DOTALL) is not None)


@given(st.text(), st.text())
def test_a_literal_covers_its_text_alone(text: str, other: str) -> None:
    assert fits(literal(text), text)
    assert fits(literal(text), other) is (text == other)


@given(st.text())
def test_reading_a_rule_never_fails_otherwise(text: str) -> None:
    try:
        rule = Rule.read(text)
    except RuleError as error:
        assert repr(text) in str(error) or text in str(error)
    else:
        assert str(rule) == text
        rule.matches(Call("python", {FIRST: text}))


@pytest.mark.parametrize(
    ("rule", "tool", "arguments", "matches"),
    [
        ("functions.send", "functions.send", "{}", True),
        ("functions.send", "functions.sender", "{}", False),
        ("functions.*", "functions.send", "no JSON", True),
        ("functions.*", "functionsXsend", "{}", False),
        ("*", "python", "{}", True),
        ("f(a@b.c)", "f", '{"to": "a@b.c", "count": 3}', True),
        ("f(to=*@b.c)", "f", '{"to": "a@b.c"}', True),
        ("f(to=*@b.c)", "f", '{"to": "a@b.c.evil"}', False),
        ("f(to=*@b.c, cc=nobody)", "f", '{"to": "a@b.c"}', True),
        ("f(to=*@b.c, cc=nobody)", "f", '{"to": "a@b.c", "cc": "x"}', False),
        ("f(count=3)", "f", '{"count": 3}', True),
        ("f(count=3)", "f", "{}", False),
        ("f(*)", "f", '{"count": 3}', False),
        ("f(*)", "f", '{"to": 1, "to": 2}', False),
        ("f(*)", "f", "[1]", False),
        ("f(*)", "f", "{", False),
    ],
)
def test_what_a_rule_is_about(rule: str, tool: str, arguments: str, matches: bool) -> None:
    assert Rule.read(rule).matches(Call.of(tool, SEND, arguments)) is matches


@pytest.mark.parametrize("properties", [None, [], "x", 3])
def test_a_schema_without_readable_properties_has_none(properties: object) -> None:
    call = Call.of("f", {"type": "object", "properties": properties}, '{"to": "a"}')
    assert Rule.read("f(to=a)").matches(call)
    assert not Rule.read("f(a)").matches(call)


def test_code_is_matched_as_a_whole() -> None:
    rule = Rule.read("python(import math*)")
    assert rule.matches(Call.of("python", None, "import math\nprint(1)"))
    assert not rule.matches(Call.of("python", None, "x\nimport math"))


@pytest.mark.parametrize("arguments", ["{", "[]", '{"to": "a", "to": "b"}', "[" * 100_000])
def test_doubt_denies(arguments: str) -> None:
    call = Call.of("f", SEND, arguments)
    assert Rule.read("f(secret*)").matches(call, in_doubt=True)
    assert not Rule.read("f(secret*)").matches(call)
    assert not Rule.read("g(secret*)").matches(call, in_doubt=True)


@given(st.dictionaries(st.sampled_from(["to", "cc", "count", "other"]), st.text()))
def test_a_rule_made_of_literals_covers_its_call(values: dict[str, str]) -> None:
    call = Call.of("f", SEND, json.dumps(values))
    for name, value in values.items():
        if value and "," not in value:
            assert Rule.read(f"f({name}={literal(value)})").matches(call)


def test_many_stars_do_not_take_for_ever() -> None:
    assert not fits("*a" * 50 + "b", "a" * 200_000)


def test_an_empty_list_says_nothing() -> None:
    assert read_rules({"allow": [], "deny": []}) == read_rules({}) == Rules()
