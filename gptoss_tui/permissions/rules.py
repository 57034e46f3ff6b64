"""Rules over tool calls, a line of text each.

    functions.get_weather                    every call of this tool
    functions.*                              every call of every function
    browser.open(https://example.org/*)      calls whose first parameter fits
    functions.send(to=*@example.org, cc=)    calls whose parameters of these names fit

`*` stands for any characters, also none; a backslash before a character takes it as it is. What stands for a
tool without parameters, such as python, is its whole text. A comma before NAME= begins the next parameter.
Each value is compared as what it is: an address by where it leads, a text by its characters; see `kinds`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from ..kinds import Kind
from ..kinds import text as texts
from ..kinds.glob import fits

KindsOf = Callable[[str], Mapping[str, Kind]]
"""What the arguments of the tool of that name are, by parameter and for `FIRST`, if more than texts."""

FIRST = ""
"""Stands for the name of a tool's first parameter, or for the whole text of a tool that has none."""

_FORM = re.compile(r"(?P<tool>[^\s()]+)(?:\((?P<arguments>.*)\))?", re.DOTALL)
_NEXT = re.compile(r",\s*(?=[A-Za-z_][\w-]*=)")
_NAMED = re.compile(r"(?P<name>[A-Za-z_][\w-]*)=(?P<value>.*)", re.DOTALL)


class RuleError(ValueError):
    """What is written is no rule, or a rule does not do what its examples say."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call as rules see it: its arguments as text, by parameter; None where they cannot be read.

    `kinds` says of the arguments that are more than a text what they are.
    """

    tool: str
    arguments: Mapping[str, str] | None
    kinds: Mapping[str, Kind] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        tool: str,
        parameters: Mapping[str, Any] | None,
        arguments: str,
        kinds: Mapping[str, Kind] | None = None,
    ) -> Self:
        """The call `arguments` of a tool with the JSON Schema `parameters`, whose defaults fill the gaps."""
        if parameters is None:
            return cls(tool, {FIRST: arguments})
        try:
            given = json.loads(arguments, object_pairs_hook=_without_duplicates)
        except (ValueError, RecursionError):
            return cls(tool, None)
        if not isinstance(given, dict):
            return cls(tool, None)
        properties = properties_of(parameters)
        defaults = {name: one["default"] for name, one in properties.items() if _has_default(one)}
        values = {name: _text(value) for name, value in (defaults | given).items()}
        first = next(iter(properties), None)
        if first in values:
            values[FIRST] = values[first]
        return cls(tool, values, with_first(kinds or {}, parameters))

    @classmethod
    def read(cls, text: str, kinds_of: KindsOf) -> Self:
        """A call written down like a rule, as examples are; raises RuleError."""
        tool, arguments = _taken_apart(text)
        return cls(tool, arguments, kinds_of(tool))

    def covered(self, name: str, pattern: str) -> bool | None:
        """Whether the pattern covers the argument of that name; None where that is in doubt."""
        if self.arguments is None:
            return None
        if name not in self.arguments:
            return False
        return self.kinds.get(name, texts.covers)(pattern, self.arguments[name])


def properties_of(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """The properties of a JSON Schema that others wrote; none where it says nothing readable of them."""
    found = parameters.get("properties")
    return found if isinstance(found, Mapping) else {}


def with_first(kinds: Mapping[str, Kind], parameters: Mapping[str, Any]) -> Mapping[str, Kind]:
    """The kinds by the names of parameters, and that of the first one as `FIRST`."""
    first = next(iter(properties_of(parameters)), None)
    return {**kinds, FIRST: kinds[first]} if first is not None and first in kinds else kinds


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
        """Whether the rule is about this call; `in_doubt` is the answer where that cannot be known."""
        if not fits(self.tool, call.tool):
            return False
        if not self.arguments:
            return True
        if call.arguments is None:
            return in_doubt
        told = [call.covered(name, pattern) for name, pattern in self.arguments]
        return False not in told and (in_doubt or None not in told)


@dataclass(frozen=True, slots=True)
class Rules:
    """What a person has laid down; deny outweighs ask, and ask outweighs allow. Empty lists say nothing."""

    allow: tuple[Rule, ...] = ()
    ask: tuple[Rule, ...] = ()
    deny: tuple[Rule, ...] = ()


def read_rules(table: Mapping[str, object], kinds_of: KindsOf = lambda tool: {}) -> Rules:
    """The rules in a TOML table of the lists `allow`, `ask` and `deny`; raises RuleError.

    `kinds_of` a tool are needed for the examples of its rules.
    """
    if unknown := table.keys() - {"allow", "ask", "deny"}:
        raise RuleError(f"the lists are allow, ask and deny, not {', '.join(sorted(unknown))}")
    lists = {
        verb: tuple(_entry(entry, verb != "allow", kinds_of) for entry in _list(verb, entries))
        for verb, entries in table.items()
    }
    return Rules(**lists)


def _list(verb: str, entries: object) -> list[object]:
    if not isinstance(entries, list):
        raise RuleError(f"{verb} is not a list of rules")
    return entries


def _entry(value: object, in_doubt: bool, kinds_of: KindsOf) -> Rule:
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
            if rule.matches(Call.read(example, kinds_of), in_doubt=in_doubt) is not wanted:
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
