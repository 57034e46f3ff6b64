"""Rules over tool calls, a line of text each.

    functions.get_weather                    every call of this tool
    functions.*                              every call of every function
    browser.open(https://example.org/*)      calls whose first parameter matches
    functions.send(to=*@example.org, cc=)    calls whose parameters of these names match

`*` matches any characters, or none; a backslash takes the next character literally. The value of a tool
without parameters, such as python, is its whole text. A comma before NAME= begins the next parameter. Each
value is compared by its kind: an address by where it leads, a text by its characters; see `kinds`.
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
"""Gives the kinds of the arguments of the tool of that name, by parameter and for `FIRST`, but for texts."""

FIRST = ""
"""The name of a tool's first parameter, or of the whole text of a tool without parameters."""

_FORM = re.compile(r"(?P<tool>[^\s()]+)(?:\((?P<arguments>.*)\))?", re.DOTALL)
_NEXT = re.compile(r",\s*(?=[A-Za-z_][\w-]*=)")
_NAMED = re.compile(r"(?P<name>[A-Za-z_][\w-]*)=(?P<value>.*)", re.DOTALL)


class RuleError(ValueError):
    """A text is not a rule, or a rule contradicts its examples."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call as rules see it: the arguments as text, by parameter; None where they cannot be parsed.

    `kinds` gives the kind of each argument that is more than a text.
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
        """The call of `tool` with `arguments`; the defaults of the schema `parameters` fill their gaps."""
        if parameters is None:
            return cls(tool, {FIRST: arguments})
        try:
            members = json.loads(arguments, object_pairs_hook=_without_duplicates)
        except (ValueError, RecursionError):
            return cls(tool, None)
        if not isinstance(members, dict):
            return cls(tool, None)
        properties = properties_of(parameters)
        defaults = {name: schema["default"] for name, schema in properties.items() if _has_default(schema)}
        values = {name: _text(value) for name, value in (defaults | members).items()}
        first = next(iter(properties), None)
        if first in values:
            values[FIRST] = values[first]
        return cls(tool, values, with_first(kinds or {}, parameters))

    @classmethod
    def read(cls, text: str, kinds_of: KindsOf) -> Self:
        """The call that an example writes down in the form of a rule; raises RuleError."""
        tool, arguments = _parse(text)
        return cls(tool, arguments, kinds_of(tool))

    def covered(self, name: str, pattern: str) -> bool | None:
        """Whether the pattern matches the argument of that name; None where that is in doubt."""
        if self.arguments is None:
            return None
        if name not in self.arguments:
            return False
        return self.kinds.get(name, texts.covers)(pattern, self.arguments[name])


def properties_of(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """The properties of a JSON Schema from outside; empty if they are not well formed."""
    properties = parameters.get("properties")
    return properties if isinstance(properties, Mapping) else {}


def with_first(kinds: Mapping[str, Kind], parameters: Mapping[str, Any]) -> Mapping[str, Kind]:
    """The kinds by parameter, with the kind of the first parameter also under `FIRST`."""
    first = next(iter(properties_of(parameters)), None)
    return {**kinds, FIRST: kinds[first]} if first is not None and first in kinds else kinds


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `text` is its written form, `arguments` are its patterns by parameter."""

    text: str
    tool: str
    arguments: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls, text: str) -> Self:
        """The rule with the written form `text`; raises RuleError."""
        tool, arguments = _parse(text)
        return cls(text, tool, tuple(arguments.items()))

    def __str__(self) -> str:
        return self.text

    def matches(self, call: Call, *, in_doubt: bool = False) -> bool:
        """Whether the rule matches the call; `in_doubt` is the result where that cannot be known."""
        if not fits(self.tool, call.tool):
            return False
        if not self.arguments:
            return True
        if call.arguments is None:
            return in_doubt
        matches = [call.covered(name, pattern) for name, pattern in self.arguments]
        return False not in matches and (in_doubt or None not in matches)


@dataclass(frozen=True, slots=True)
class Rules:
    """A person's rules by what they do with a call; deny outweighs ask, and ask outweighs allow."""

    allow: tuple[Rule, ...] = ()
    ask: tuple[Rule, ...] = ()
    deny: tuple[Rule, ...] = ()


def read_rules(table: Mapping[str, object], kinds_of: KindsOf = lambda tool: {}) -> Rules:
    """The rules in a TOML table of the lists `allow`, `ask` and `deny`; raises RuleError.

    `kinds_of` gives the kinds that the examples of a rule are compared by.
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
    """The rule in an entry of a list: a text, or a table with examples that the rule must match or not."""
    if isinstance(value, str):
        return Rule.read(value)
    if not isinstance(value, dict) or not isinstance(value.get("rule"), str):
        raise RuleError(f"{value!r} is neither a rule nor a table with a rule")
    if unknown := value.keys() - {"rule", "match", "not_match"}:
        raise RuleError(
            f"{value['rule']}: there is no {', '.join(sorted(unknown))}, only match and not_match"
        )
    rule = Rule.read(value["rule"])
    for key, expected in (("match", True), ("not_match", False)):
        for example in _examples(rule, key, value.get(key, [])):
            if rule.matches(Call.read(example, kinds_of), in_doubt=in_doubt) is not expected:
                raise RuleError(f"{rule}: it {'does not match' if expected else 'matches'} {example}")
    return rule


def _examples(rule: Rule, key: str, value: object) -> Sequence[str]:
    if not isinstance(value, list) or not all(isinstance(example, str) for example in value):
        raise RuleError(f"{rule}: {key} is not a list of calls")
    return value


def _parse(text: str) -> tuple[str, dict[str, str]]:
    """The tool, and the values by parameter, in the written form of a rule."""
    form = _FORM.fullmatch(text)
    if form is None:
        raise RuleError(f"{text!r} is no rule; write TOOL, or TOOL(VALUE), or TOOL(NAME=VALUE, ...)")
    if form["arguments"] is None:
        return form["tool"], {}
    if not form["arguments"]:
        raise RuleError(f"{text!r} says nothing of the arguments; write {form['tool']} for any")
    values: dict[str, str] = {}
    for place, part in enumerate(_NEXT.split(form["arguments"])):
        named = _NAMED.fullmatch(part)
        if named is None and place > 0:
            raise RuleError(f"{text!r}: after the first value, each has a name: NAME=VALUE")
        name, value = (named["name"], named["value"]) if named else (FIRST, part)
        if name in values:
            raise RuleError(f"{text!r} speaks of {name} twice")
        values[name] = value
    return form["tool"], values


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The members of a JSON object. A name that comes twice is a ValueError: tools may take either value."""
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a name comes twice")
    return members


def _has_default(schema: object) -> bool:
    return isinstance(schema, dict) and "default" in schema


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
