"""Rules over tool calls, a line of text each.

    functions.get_weather                    every call of this tool
    functions.*                              every call of every function
    browser.open(https://example.org/*)      calls whose first parameter fits
    functions.send(to=*@example.org, cc=)    calls whose parameters of these names fit

`*` stands for any characters, also none; a backslash before a character takes it as it is. What stands for a
tool without parameters, such as python, is its whole text. A comma before NAME= begins the next parameter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

FIRST = ""
"""Stands for the name of a tool's first parameter, or for the whole text of a tool that has none."""

_FORM = re.compile(r"(?P<tool>[^\s()]+)(?:\((?P<arguments>.*)\))?", re.DOTALL)
_NEXT = re.compile(r",\s*(?=[A-Za-z_][\w-]*=)")
_NAMED = re.compile(r"(?P<name>[A-Za-z_][\w-]*)=(?P<value>.*)", re.DOTALL)


class RuleError(ValueError):
    """What is written is no rule, or a rule does not do what its examples say."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call as rules see it: its arguments as text, by parameter; None where they cannot be read."""

    tool: str
    arguments: Mapping[str, str] | None

    @classmethod
    def of(cls, tool: str, parameters: Mapping[str, Any] | None, arguments: str) -> Self:
        """The call `arguments` of a tool with the JSON Schema `parameters`, whose defaults fill the gaps."""
        if parameters is None:
            return cls(tool, {FIRST: arguments})
        try:
            given = json.loads(arguments, object_pairs_hook=_without_duplicates)
        except (ValueError, RecursionError):
            return cls(tool, None)
        if not isinstance(given, dict):
            return cls(tool, None)
        properties = parameters.get("properties", {})
        defaults = {name: one["default"] for name, one in properties.items() if _has_default(one)}
        values = {name: _text(value) for name, value in (defaults | given).items()}
        first = next(iter(properties), None)
        return cls(tool, values | {FIRST: values[first]} if first in values else values)

    @classmethod
    def read(cls, text: str) -> Self:
        """A call written down like a rule, as examples are; raises RuleError."""
        tool, arguments = _taken_apart(text)
        return cls(tool, arguments)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; `text` is how it is written."""

    text: str
    tool: str
    arguments: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls, text: str) -> Self:
        """The rule that `text` writes down; raises RuleError."""
        tool, arguments = _taken_apart(text)
        return cls(text, tool, tuple(arguments.items()))

    def __str__(self) -> str:
        return self.text

    def matches(self, call: Call, *, in_doubt: bool = False) -> bool:
        """Whether the rule is about this call; `in_doubt` is the answer where arguments cannot be read."""
        if not fits(self.tool, call.tool):
            return False
        if not self.arguments:
            return True
        if call.arguments is None:
            return in_doubt
        given = call.arguments
        return all(name in given and fits(pattern, given[name]) for name, pattern in self.arguments)


@dataclass(frozen=True, slots=True)
class Rules:
    """What a person has laid down; deny outweighs ask, and ask outweighs allow. Empty lists say nothing."""

    allow: tuple[Rule, ...] = ()
    ask: tuple[Rule, ...] = ()
    deny: tuple[Rule, ...] = ()


def read_rules(table: Mapping[str, object]) -> Rules:
    """The rules in a TOML table of the lists `allow`, `ask` and `deny`; raises RuleError."""
    if unknown := table.keys() - {"allow", "ask", "deny"}:
        raise RuleError(f"the lists are allow, ask and deny, not {', '.join(sorted(unknown))}")
    lists = {verb: tuple(map(_entry, _list(verb, entries))) for verb, entries in table.items()}
    return Rules(**lists)


def _list(verb: str, entries: object) -> list[object]:
    if not isinstance(entries, list):
        raise RuleError(f"{verb} is not a list of rules")
    return entries


def literal(text: str) -> str:
    """`text` as a pattern that fits nothing else."""
    return re.sub(r"([\\*])", r"\\\1", text)


def fits(pattern: str, text: str) -> bool:
    """Whether `pattern` covers the whole of `text`. Takes time linear in `text` for each `*`."""
    first, *others = _parts(pattern)
    if not others:
        return text == first
    *middle, last = others
    if not (text.startswith(first) and text.endswith(last)) or len(text) < len(first) + len(last):
        return False
    place, end = len(first), len(text) - len(last)
    for part in middle:
        found = text.find(part, place, end)
        if found < 0:
            return False
        place = found + len(part)
    return True


def _parts(pattern: str) -> list[str]:
    """What stands between the stars."""
    parts = [""]
    for piece in re.findall(r"\\.|\*|[^\\*]+|\\$", pattern, re.DOTALL):
        if piece == "*":
            parts.append("")
        else:
            parts[-1] += piece[1:] if piece.startswith("\\") and len(piece) > 1 else piece
    return parts


def _entry(value: object) -> Rule:
    """A rule of a list: its text, or a table with examples of what it must match and what it must not."""
    if isinstance(value, str):
        return Rule.read(value)
    if not isinstance(value, dict) or not isinstance(value.get("rule"), str):
        raise RuleError(f"{value!r} is neither a rule nor a table with a rule")
    if unknown := value.keys() - {"rule", "match", "not_match"}:
        raise RuleError(
            f"{value['rule']}: there is no {', '.join(sorted(unknown))}, only match and not_match"
        )
    rule = Rule.read(value["rule"])
    for key, wanted in (("match", True), ("not_match", False)):
        for example in _examples(rule, key, value.get(key, [])):
            if rule.matches(Call.read(example)) is not wanted:
                raise RuleError(f"{rule}: it {'does not match' if wanted else 'matches'} {example}")
    return rule


def _examples(rule: Rule, key: str, value: object) -> Sequence[str]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise RuleError(f"{rule}: {key} is not a list of calls")
    return value


def _taken_apart(text: str) -> tuple[str, dict[str, str]]:
    form = _FORM.fullmatch(text)
    if form is None:
        raise RuleError(f"{text!r} is no rule; write TOOL, or TOOL(VALUE), or TOOL(NAME=VALUE, ...)")
    if form["arguments"] is None:
        return form["tool"], {}
    if not form["arguments"]:
        raise RuleError(f"{text!r} says nothing of the arguments; write {form['tool']} for any")
    found: dict[str, str] = {}
    for place, part in enumerate(_NEXT.split(form["arguments"])):
        named = _NAMED.fullmatch(part)
        if named is None and place > 0:
            raise RuleError(f"{text!r}: after the first value, each has a name: NAME=VALUE")
        name, value = (named["name"], named["value"]) if named else (FIRST, part)
        if name in found:
            raise RuleError(f"{text!r} speaks of {name} twice")
        found[name] = value
    return form["tool"], found


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Which of two values of one name a tool takes, nobody knows."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name comes twice")
    return found


def _has_default(schema: object) -> bool:
    return isinstance(schema, dict) and "default" in schema


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
