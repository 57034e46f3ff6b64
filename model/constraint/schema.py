"""JSON Schemas that can be enforced, and the grammars that enforce them.

llguidance compiles a schema to a grammar and refuses keywords that no grammar can follow. This module names
them with their places, and rewrites a schema that llguidance would refuse without need as an equal one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from gptoss_tui.model.constraint.closing import PartialDocument

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

DEEPEST = 60
"""Levels of schemas within schemas; llguidance's parser gives up soon after."""

MOST_REMAINDERS = 10_000
"""Remainders of all `multipleOf` together, trailing zeros aside: the grammar has a state for each."""

LONGEST_EXCERPT = 200
"""Characters of a quoted complaint."""

# https://json-schema.org/draft/2020-12/json-schema-validation and -core, and their forms in older drafts.
_REFUSED = frozenset(
    (
        *(
            "not",
            "if",
            "then",
            "else",
            "contains",
            "minContains",
            "maxContains",
            "uniqueItems",
            "propertyNames",
        ),
        *(
            "dependentRequired",
            "dependentSchemas",
            "dependencies",
            "unevaluatedItems",
            "unevaluatedProperties",
        ),
        *("$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor"),
    )
)
_ONE = ("items", "additionalItems", "additionalProperties")
_SEVERAL = ("allOf", "anyOf", "oneOf", "prefixItems")
_NAMED = ("properties", "patternProperties", "$defs", "definitions")
_FORMATS = frozenset(
    ("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri")
)

_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")

# One space may follow a comma or a colon, as the model writes; any whitespace could go on for ever.
_OPTIONS: JsonCompileOptions = {
    "whitespace_flexible": False,
    "item_separator": ", ?",
    "key_separator": ": ?",
    "coerce_one_of": False,
    "lenient": False,
}


def unsupported(schema: Mapping[str, Any]) -> list[str]:
    """The parts of `schema` that cannot be enforced, as "`not` at /properties/a"; empty if all can.

    `schema` must be valid against the metaschema of its dialect. Parts that no document can fulfil, or that
    would take too long to compile, are named as well. A place is a JSON Pointer (RFC 6901).
    """
    found, remainders = [], 1
    for place, depth, values in _subschemas(schema):
        if depth > DEEPEST:
            return [f"schemas nested more than {DEEPEST} deep"]
        found += [f"{complaint} at {place or 'the top'}" for complaint in _complaints(values)]
        if "multipleOf" in values:
            remainders = math.lcm(remainders, _remainders(values["multipleOf"]))
            if remainders > MOST_REMAINDERS:
                return [*found, f"`multipleOf` {values['multipleOf']} at {place or 'the top'}"]
    if found:
        return found
    reason = _refusal(schema)
    if "oneOf" in reason:
        return [f"`oneOf` at {place} (its branches may overlap)" for place in _overlapping(schema)]
    if not reason and PartialDocument(grammar(json.dumps(schema))).is_endless:
        reason = "no document that fits it ever ends"
    return [f"the schema: {reason}"] if reason else []


def grammar(schema: str) -> str:
    """The grammar of the documents that are valid against `schema` (JSON), for llguidance.

    The documents are compact JSON, with one space at most after a comma or a colon. Raises ValueError for a
    number beyond 64 bits; for other faults llguidance refuses the grammar.
    """
    from llguidance import LLMatcher

    prepared = _prepare(json.loads(schema))
    if not isinstance(prepared, dict):
        prepared = {"allOf": [prepared]}
    return LLMatcher.grammar_from_json_schema(prepared, overrides=_OPTIONS)


def _complaints(values: Mapping[str, Any]) -> Iterator[str]:
    """The keywords of one schema, not of those within it, that cannot be enforced."""
    for keyword in values:
        if keyword in _REFUSED and not (keyword == "uniqueItems" and values[keyword] is False):
            yield f"`{keyword}`"
    if values.get("minProperties", 0) > len(set(values.get("required", ()))):
        # llguidance counts a name as often as it is written, a JSON reader only once.
        yield "`minProperties` above the number of `required` names"
    divisor = values.get("multipleOf", 1)
    if Fraction(str(divisor)) != Fraction(divisor):
        # 0.07 is a multiple of 0.01, but not in binary arithmetic.
        yield f"`multipleOf` {divisor}, which binary numbers cannot hold exactly,"
    if bound := _leaking_bound(values):
        yield f"`exclusiveMinimum` {bound} with an upper bound so close"
    patterns = [("pattern", values["pattern"])] if "pattern" in values else []
    patterns += [("patternProperties", pattern) for pattern in values.get("patternProperties", ())]
    for keyword, pattern in patterns:
        if _refusal({"type": "string", "pattern": pattern}):
            yield f"`{keyword}` {json.dumps(pattern)[:LONGEST_EXCERPT]}"


def _leaking_bound(values: Mapping[str, Any]) -> str:
    """The `exclusiveMinimum` that llguidance wrongly allows (1.9.1: 0 when 0.1 is the maximum)."""
    bounds = {name: values[name] for name in _BOUNDS if name in values}
    least = bounds.get("exclusiveMinimum")
    if len(bounds) < 2 or least is None or isinstance(least, bool):
        return ""
    document = PartialDocument(grammar(json.dumps({"type": "number"} | bounds)))
    written = format(Decimal(str(least)).normalize(), "f")
    return (
        written if not document.error and document.follow(written.encode()) and document.is_complete else ""
    )


def _remainders(divisor: float) -> int:
    """The number of remainders of a division by `divisor`, zeros aside: 25 for 0.25 and for 2500."""
    return int("".join(map(str, Decimal(str(divisor)).normalize().as_tuple().digits)))


def _refusal(schema: Any) -> str:
    """The objection of llguidance to `schema` as a whole, in one line; empty if it has none."""
    from llguidance import LLMatcher

    try:
        reason = LLMatcher.validate_grammar(grammar(json.dumps(schema)))
    except ValueError as error:  # a number beyond 64 bits
        reason = str(error)
    return " ".join(reason.split())[:LONGEST_EXCERPT]


def _overlapping(schema: Any) -> Iterator[str]:
    """The places of every `oneOf` that llguidance cannot follow."""
    for place, _, values in _subschemas(schema):
        if "oneOf" in values and "oneOf" in _refusal(_with_any_of(schema, place)):
            yield place or "the top"


def _with_any_of(schema: Any, spared: str) -> Any:
    """`schema` with an `anyOf` for every `oneOf` but that at `spared`."""
    copy = json.loads(json.dumps(schema))
    for place, _, values in list(_subschemas(copy)):
        if "oneOf" in values and place != spared:
            _take_any_of(values)
    return copy


def _take_any_of(values: dict[str, Any]) -> None:
    values.setdefault("allOf", []).append({"anyOf": values.pop("oneOf")})


def _prepare(schema: Any) -> Any:
    """An equal schema without keywords that llguidance refuses needlessly."""
    copy = json.loads(json.dumps(schema))
    for _, _, values in list(_subschemas(copy)):
        values.pop("uniqueItems", None)  # only `false` came this far
        # An annotation, by section 7.2.1 of the 2020-12 validation vocabulary.
        if values.get("format") not in _FORMATS:
            values.pop("format", None)
        if "oneOf" in values and _told_apart(values["oneOf"], copy):
            _take_any_of(values)
    return copy


def _told_apart(branches: list[Any], root: Any) -> bool:
    """Whether all `branches` are objects with a required property whose constant no two of them share.

    pydantic writes unions with a discriminator in this form. llguidance compares only types.
    """
    resolved = [_resolve(branch, root) for branch in branches]
    if not all(branch.get("type") == "object" for branch in resolved):
        return False
    shared = set.intersection(*(set(branch.get("required", ())) for branch in resolved))
    for name in shared:
        values = [_constants(branch.get("properties", {}).get(name)) for branch in resolved]
        written = [json.dumps(value, sort_keys=True) for constants in values for value in constants]
        if all(values) and len(set(written)) == len(written):
            return True
    return False


def _constants(schema: Any) -> list[Any]:
    """The only strings that `schema` accepts; empty if it accepts anything else."""
    if not isinstance(schema, dict):
        return []
    values = [schema["const"]] if "const" in schema else schema.get("enum", [])
    return values if all(isinstance(value, str) for value in values) else []


def _resolve(schema: Any, root: Any) -> dict[str, Any]:
    """`schema`, or the schema within `root` that it is a mere reference to; empty if that is not found."""
    if isinstance(schema, dict) and set(schema) == {"$ref"}:
        place, schema = str(schema["$ref"]), root
        if not place.startswith("#/"):
            return {}
        for name in place[2:].split("/"):
            schema = schema.get(name) if isinstance(schema, dict) else None
    return schema if isinstance(schema, dict) else {}


def _subschemas(schema: Any) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """`schema` and every schema within it that is an object: its place, its depth, its keywords."""
    waiting = [("", 0, schema)]
    while waiting:
        place, depth, values = waiting.pop()
        if not isinstance(values, dict):
            continue
        yield place, depth, values
        within = [(keyword, values[keyword]) for keyword in _ONE if keyword in values]
        for keyword in _SEVERAL:
            within += [(f"{keyword}/{index}", each) for index, each in enumerate(values.get(keyword, ()))]
        for keyword in _NAMED:
            named = values.get(keyword, {}).items()
            within += [(f"{keyword}/{_escaped(name)}", each) for name, each in named]
        waiting += [(f"{place}/{step}", depth + 1, each) for step, each in reversed(within)]


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
