"""How the person's rules are read. A rule over a built-in tool that no call can match is an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..kinds import Kind, address_pattern
from ..kinds.glob import parts
from ..permissions.rules import FIRST, Rule, RuleError, Rules, properties_of, read_rules, with_first


def read_permissions(table: Mapping[str, object]) -> Rules:
    """The rules in the table `[permissions]` of the config file; raises RuleError."""
    rules = read_rules(table, _kinds)
    for rule in (*rules.allow, *rules.ask, *rules.deny):
        _check(rule)
    return rules


def _check(rule: Rule) -> None:
    """Raise RuleError for a parameter that the tool does not have, and for an impossible address."""
    parameters = _parameters().get("*".join(parts(rule.tool)), ...)
    if parameters is ...:
        return  # the parameters of other tools are unknown before the tools start
    known = [] if parameters is None else list(properties_of(parameters))
    for name, pattern in rule.arguments:
        if name != FIRST and name not in known:
            has = f"it has {', '.join(known)}" if known else f"write {rule.tool}(VALUE)"
            raise RuleError(
                f"{rule}: {rule.tool} has no parameter {name}; {has}"
                " (for a comma before NAME= that belongs to a value, write *)"
            )
        is_address = _kinds(rule.tool).get(name) is address_pattern.covers
        if is_address and (fault := address_pattern.fault(pattern)):
            raise RuleError(f"{rule}: {pattern} is no address. {fault}")
    if known and {FIRST, known[0]} <= {name for name, _ in rule.arguments}:
        raise RuleError(f"{rule} speaks of {known[0]} twice, as it is the first parameter")


def _parameters() -> Mapping[str, Mapping[str, Any] | None]:
    """The JSON Schema of each built-in tool's parameters; None for a tool that takes a text."""
    from ..tools.browser.tools import FindTool, OpenTool, SearchTool

    tools = (SearchTool, OpenTool, FindTool)
    return {"python": None} | {tool.name: tool.parameters for tool in tools}


def _kinds(tool: str) -> Mapping[str, Kind]:
    """The kinds of a built-in tool's arguments."""
    from ..tools.browser import OpenTool

    return with_first(OpenTool.kinds, OpenTool.parameters) if tool == OpenTool.name else {}
