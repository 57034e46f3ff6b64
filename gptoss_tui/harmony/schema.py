"""JSON Schema to the TypeScript that harmony shows the model.

The layout, quirks included, is that of the official openai-harmony library, because it is what gpt-oss was
trained on; tests compare the two. Where the library loses information (references, `anyOf`, `const`, enums
that are not strings, quotes inside enums, line breaks in descriptions) the schema is first brought into the
subset that it renders well.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

Schema = Mapping[str, Any]

MAX_DEPTH = 32

_SHAPES: Mapping[str, type | tuple[type, ...]] = {
    "type": (str, list),
    "properties": Mapping,
    "items": Mapping,
    "$defs": Mapping,
    "definitions": Mapping,
    **dict.fromkeys(("enum", "required", "examples", "allOf", "anyOf", "oneOf"), list),
    **dict.fromkeys(("$ref", "description", "title"), str),
}
"""What each keyword must be; one that is anything else is as good as absent."""


def typescript(schema: Schema) -> str:
    """The TypeScript type of `schema` as the parameter of a function."""
    return _type(_simplify(schema, _definitions(schema), ()), "")


def _well_shaped(schema: Schema) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if isinstance(value, _SHAPES.get(key, object))}


def _definitions(schema: Schema) -> dict[str, Schema]:
    return {
        f"#/{place}/{name}": definition
        for place in ("$defs", "definitions")
        for name, definition in _well_shaped(schema).get(place, {}).items()
        if isinstance(definition, Mapping)
    }


def _simplify(schema: Any, definitions: Mapping[str, Schema], path: tuple[str, ...]) -> dict[str, Any]:
    """An equivalent of `schema` without `$ref`, `anyOf`, `allOf` and `const`; recursion becomes `any`."""
    if not isinstance(schema, Mapping) or len(path) > MAX_DEPTH:
        return {}
    schema = _well_shaped(schema)
    if "$ref" in schema:
        target = schema["$ref"]
        if target in path or target not in definitions:
            return _comments_of(schema)
        return _simplify(definitions[target], definitions, (*path, target)) | _comments_of(schema)

    inner = (*path, "")
    plain = {key: value for key, value in schema.items() if key not in ("allOf", "anyOf", "const")}
    for part in schema.get("allOf", ()):
        plain = _simplify(part, definitions, inner) | plain
    if "const" in schema:
        plain["enum"] = [schema["const"]]
    if "anyOf" in schema:
        plain |= _union([_simplify(option, definitions, inner) for option in schema["anyOf"]], plain)
    if "properties" in plain:
        plain["properties"] = {
            name: _simplify(value, definitions, inner) for name, value in plain["properties"].items()
        }
        plain.setdefault("type", "object")
    if "items" in plain:
        plain["items"] = _simplify(plain["items"], definitions, inner)
    if "oneOf" in plain:
        plain["oneOf"] = [_simplify(option, definitions, inner) for option in plain["oneOf"]]
    for comment in ("description", "title"):
        if comment in plain:
            plain[comment] = " ".join(plain[comment].split())
    return plain


def _comments_of(schema: Schema) -> dict[str, Any]:
    return {key: schema[key] for key in ("description", "default") if key in schema}


def _union(options: list[dict[str, Any]], outer: Schema) -> dict[str, Any]:
    """`anyOf` as the library can show it: nullable when null is one of two, else `oneOf`."""
    real = [option for option in options if option.get("type") != "null"]
    nullable = {"nullable": True} if len(real) < len(options) else {}
    if len(real) == 1:
        return {**real[0], **_comments_of(outer), **nullable}
    return {"oneOf": real + ([{"type": "null"}] if nullable else [])}


def _type(schema: Schema, indent: str) -> str:
    if "oneOf" in schema:
        return "".join(f"\n{indent} | {_variant(option, indent)}" for option in schema["oneOf"])
    kind = schema.get("type")
    if isinstance(kind, list):
        return " | ".join("number" if one == "integer" else str(one) for one in kind) or "any"
    if schema.get("enum") and kind not in ("object", "array"):
        return " | ".join(_literal(value) for value in schema["enum"])
    match kind:
        case "object":
            return _object(schema, indent)
        case "array":
            return f"{_type(schema['items'], indent)}[]" if "items" in schema else "Array<any>"
        case "integer" | "number":
            return "number"
        case "string" | "boolean" | "null":
            return str(kind)
        case _:
            return "any"


def _object(schema: Schema, indent: str) -> str:
    required = schema.get("required", [])
    head = f"{indent}// {schema['description']}\n" if schema.get("description") else ""
    lines = (
        _property(str(name), value, name in required, indent)
        for name, value in schema.get("properties", {}).items()
    )
    return f"{head}{{\n{''.join(lines)}{indent}}}"


def _property(name: str, schema: Schema, required: bool, indent: str) -> str:
    comments: list[str] = []
    if schema.get("title"):
        comments += [schema["title"], ""]
    if schema.get("description") and schema["description"] != _first_description(schema):
        comments.append(schema["description"])
    if schema.get("examples"):
        comments.append("Examples:")
        comments += [f'- "{example}"' for example in schema["examples"] if isinstance(example, str)]
    key = f"{indent}{name}{'' if required else '?'}:"

    if "oneOf" in schema:
        if "default" in schema:
            comments.append(f"default: {_default(schema)}")
        described = schema.get("description")
        variants = "".join(
            f"{indent} | {_variant(option, indent, in_property=True, told=told)}\n"
            for place, option in enumerate(schema["oneOf"])
            for told in [bool(described) and (place == 0 or described == option.get("description"))]
        )
        return f"{_commented(comments, indent)}{key}\n{variants}{indent},\n"

    shown = _nullable(schema, _type(schema, f"{indent}    "))
    default = f" // default: {_default(schema)}" if "default" in schema else ""
    return f"{_commented(comments, indent)}{key} {shown},{default}\n"


def _first_description(schema: Schema) -> str | None:
    """A property described in the words of its first alternative is not described again."""
    first: Schema = next(iter(schema.get("oneOf", ())), {})
    return first.get("description")


def _variant(schema: Schema, indent: str, *, in_property: bool = False, told: bool = False) -> str:
    """One alternative; the library describes the first of a property's only if the property is not."""
    notes = [schema["description"]] if schema.get("description") and not told else []
    if "default" in schema:
        notes.append(f"default: {_default(schema) if in_property else _quoted(schema['default'])}")
    note = f" // {' '.join(notes)}" if notes else ""
    return f"{_nullable(schema, _type(schema, f'{indent}   '))}{note}"


def _nullable(schema: Schema, shown: str) -> str:
    return f"{shown} | null" if schema.get("nullable") is True else shown


def _commented(comments: Iterable[str], indent: str) -> str:
    return "".join(f"{indent}// {line}".rstrip() + "\n" for line in comments)


def _default(schema: Schema) -> str:
    """A default as the library writes it: strings are quoted unless the property is an enum."""
    default = schema["default"]
    return default if isinstance(default, str) and schema.get("enum") else _quoted(default)


def _quoted(default: Any) -> str:
    if isinstance(default, str):
        return f'"{default}"'
    return json.dumps(default, ensure_ascii=False, separators=(",", ":"))


def _literal(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
