"""JSON Schema to the TypeScript in harmony's developer message.

The layout, quirks included, is that of the official openai-harmony library, because gpt-oss was trained on
it; tests compare the two. It differs where the library loses a part of a schema or writes invalid TypeScript;
docs/harmony.md lists these places.
"""

from __future__ import annotations

import json
import re
from typing import Any

from .schema import (
    ABSENT,
    Array,
    Literals,
    Names,
    Object,
    Property,
    Schema,
    Shape,
    Tuple,
    Union,
    shape_of,
)

_STRING = r'("(?:\\.|[^"\\])*")'
_STRING_OR_NAN = re.compile(rf"{_STRING}|NaN|-?Infinity")
_STRING_OR_EXPONENT = re.compile(rf"{_STRING}|(-?[\d.]+)e([+-]\d+)")


def typescript(schema: Schema) -> str:
    """The TypeScript type of `schema`, as it stands in `type NAME = (_: HERE) => any;`. Never raises."""
    return _type(shape_of(schema), "")


def comment(text: str) -> list[str]:
    """The lines of `text` as comments, at least one."""
    return [f"// {line}" for line in _lines(text)]


def _lines(text: str) -> list[str]:
    """The lines of `text` as TypeScript ends them (ECMA-262, 12.3); a last, empty one is left out."""
    lines = re.split("\r\n|[\n\r\u2028\u2029]", text)
    return lines[:-1] if len(lines) > 1 and not lines[-1] else lines


def _one_line(text: str) -> str:
    lines = _lines(text)
    return lines[0] if len(lines) == 1 else " ".join(filter(None, map(str.strip, lines)))


def _type(shape: Shape, indent: str) -> str:
    """The type without null. It never ends in a comment, so that more may follow on its last line."""
    match shape.type:
        case Names(names):
            return " | ".join(names)
        case Literals(values):
            return " | ".join(map(_literal, values))
        case Object(properties, others):
            head = "" if shape.description is None else _above(comment(shape.description), indent)
            lines = "".join(_property(one, indent) for one in properties)
            if others is not None:
                lines += f"{indent}[key: string]: {_whole(others, f'{indent}    ')},\n"
            return f"{head}{{\n{lines}{indent}}}"
        case Array(items):
            return f"({_whole(items, indent)})[]" if _is_choice(items) else f"{_type(items, indent)}[]"
        case Tuple(items, rest):
            parts = [_whole(item, indent) for item in items]
            if rest is not None:
                parts.append(f"...{_type(Shape(Array(rest)), indent)}")
            return f"[{', '.join(parts)}]"
        case Union(options):
            lines = "".join(f"\n{indent} | {_option(one, indent)}" for one in options)
            return f"{lines}\n{indent}" if _note(options[-1]) else lines


def _whole(shape: Shape, indent: str) -> str:
    """The type, with null if it is nullable."""
    shown = _type(shape, indent)
    return f"{shown} | null" if shape.nullable and not _has_null(shape) else shown


def _has_null(shape: Shape) -> bool:
    match shape.type:
        case Names(names):
            return "null" in names
        case Literals(values):
            return None in values
        case _:
            return False


def _is_choice(shape: Shape) -> bool:
    """Whether the type contains a bar, which binds weaker than the brackets of an array."""
    match shape.type:
        case Names(choices) | Literals(choices):
            return shape.nullable or len(choices) > 1
        case Union():
            return True
        case _:
            return shape.nullable


def _property(found: Property, indent: str) -> str:
    shape = found.shape
    described = [] if shape.description is None else comment(shape.description)
    examples = ["// Examples:", *(f"// - {_json(one)}" for one in shape.examples)] if shape.examples else []
    default = "" if shape.default is ABSENT else f"// default: {_default(shape)}"
    above = [] if shape.title is None else [*comment(shape.title), "//"]
    key = f"{indent}{_key(found.name)}{'' if found.required else '?'}:"

    if not isinstance(shape.type, Union):
        line = f"{key} {_whole(shape, f'{indent}    ')},{default and f' {default}'}\n"
        return _above([*above, *described, *examples], indent) + line
    # The library describes the first option only when it does not describe the property.
    lines = "".join(
        f"{indent} | {_option(option, indent, in_property=True, told=bool(described) and is_told)}\n"
        for place, option in enumerate(shape.type.options)
        for is_told in [place == 0 or option.description == shape.description]
    )
    above = [*above, *examples, *described, *filter(None, [default])]
    return f"{_above(above, indent)}{key}\n{lines}{indent},\n"


def _above(comments: list[str], indent: str) -> str:
    return "".join(f"{indent}{line}\n" for line in comments)


def _option(shape: Shape, indent: str, *, in_property: bool = False, told: bool = False) -> str:
    shown = _whole(shape, f"{indent}   ")
    if isinstance(shape.type, Union):
        shown = f"({shown})"
    return f"{shown}{_note(shape, in_property=in_property, told=told)}"


def _note(shape: Shape, *, in_property: bool = False, told: bool = False) -> str:
    """The comment behind an option: its annotations."""
    notes = [] if shape.description is None or told else [_one_line(shape.description)]
    if shape.default is not ABSENT:
        notes.append(f"default: {_default(shape) if in_property else _json(shape.default)}")
    return f" // {' '.join(notes)}" if notes else ""


def _default(shape: Shape) -> str:
    """A default as the library writes it in a property: strings are quoted unless they are one of an enum."""
    if isinstance(shape.default, str) and isinstance(shape.type, Literals):
        return _one_line(shape.default)
    return _json(shape.default)


def _key(name: str) -> str:
    return name if name.replace("$", "_").isidentifier() else _json(name)


def _literal(value: Any) -> str:
    """The type of one JSON value: in TypeScript the value as JSON, and `number` for one that is no JSON."""
    return _STRING_OR_NAN.sub(lambda found: found[1] or "number", _json(value))


def _json(value: Any) -> str:
    """`value` as compact JSON on one line, with numbers as the library writes them (1e-7 and not 1e-07)."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    text = _STRING_OR_EXPONENT.sub(lambda found: found[1] or _number(found[2], int(found[3])), text)
    return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _number(digits: str, exponent: int) -> str:
    if exponent == -5:  # the one exponent that Python writes and Rust does not
        return f"{'-' * digits.startswith('-')}0.0000{digits.replace('.', '').lstrip('-')}"
    return f"{digits}e{exponent}"
