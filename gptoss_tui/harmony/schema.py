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


def typescript(schema: Schema) -> str:
    """The TypeScript type of `schema` as the parameter of a function."""
    return _type(_simplify(schema, _definitions(schema), ()), "")


def _definitions(schema: Schema) -> dict[str, Schema]:
    return {
        f"#/{place}/{name}": definition
        for place in ("$defs", "definitions")
        for name, definition in schema.get(place, {}).items()
        if isinstance(definition, Mapping)
    }


def _simplify(schema: Any, definitions: Mapping[str, Schema], path: tuple[str, ...]) -> dict[str, Any]:
    """An equivalent of `schema` without `$ref`, `anyOf`, `allOf` and `const`; recursion becomes `any`."""
    if not isinstance(schema, Mapping) or len(path) > MAX_DEPTH:
        return {}
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
    if isinstance(plain.get("properties"), Mapping):
        plain["properties"] = {
            name: _simplify(value, definitions, inner) for name, value in plain["properties"].items()
        }
        plain.setdefault("type", "object")
    if isinstance(plain.get("items"), Mapping):
        plain["items"] = _simplify(plain["items"], definitions, inner)
    if isinstance(plain.get("oneOf"), list):
        plain["oneOf"] = [_simplify(option, definitions, inner) for option in plain["oneOf"]]
    for comment in ("description", "title"):
        if isinstance(plain.get(comment), str):
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
    shown = _bare_type(schema, indent)
    return f"{shown} | null" if schema.get("nullable") is True and "oneOf" not in schema else shown


def _bare_type(schema: Schema, indent: str) -> str:
    if isinstance(schema.get("oneOf"), list):
        return "".join(f"\n{indent} | {_variant(option, indent)}" for option in schema["oneOf"])
    kind = schema.get("type")
    if isinstance(kind, list):
        return " | ".join("number" if one == "integer" else str(one) for one in kind) or "any"
    if isinstance(schema.get("enum"), list) and schema["enum"] and kind not in ("object", "array"):
        return " | ".join(_literal(value) for value in schema["enum"])
    match kind:
        case "object":
            return _object(schema, indent)
        case "array":
            items = schema.get("items")
            return f"{_type(items, indent)}[]" if isinstance(items, Mapping) else "Array<any>"
        case "integer" | "number":
            return "number"
        case "string" | "boolean" | "null":
            return str(kind)
        case _:
            return "any"


def _object(schema: Schema, indent: str) -> str:
    required = schema.get("required")
    names = set(required) if isinstance(required, list) else set()
    head = f"{indent}// {schema['description']}\n" if schema.get("description") else ""
    properties = schema.get("properties")
    lines = (
        _property(str(name), value, str(name) in names, indent)
        for name, value in (properties if isinstance(properties, Mapping) else {}).items()
    )
    return f"{head}{{\n{''.join(lines)}{indent}}}"


def _property(name: str, schema: Schema, required: bool, indent: str) -> str:
    comments: list[str] = []
    if schema.get("title"):
        comments += [schema["title"], ""]
    if schema.get("description"):
        comments.append(schema["description"])
    examples = schema.get("examples")
    if isinstance(examples, list) and examples:
        comments.append("Examples:")
        comments += [f'- "{example}"' for example in examples if isinstance(example, str)]
    key = f"{indent}{name}{'' if required else '?'}:"

    if isinstance(schema.get("oneOf"), list):
        if "default" in schema:
            comments.append(f"default: {_default(schema)}")
        told = bool(schema.get("description"))
        variants = "".join(f"{indent} | {_variant(option, indent, told)}\n" for option in schema["oneOf"])
        return f"{_commented(comments, indent)}{key}\n{variants}{indent},\n"

    shown = _type(schema, f"{indent}    ")
    default = f" // default: {_default(schema)}" if "default" in schema else ""
    return f"{_commented(comments, indent)}{key} {shown},{default}\n"


def _variant(schema: Schema, indent: str, told: bool = False) -> str:
    """One alternative; the library leaves its description out where the property has been described."""
    notes = [schema["description"]] if schema.get("description") and not told else []
    if "default" in schema:
        notes.append(f"default: {_default(schema)}")
    note = f" // {' '.join(notes)}" if notes else ""
    return f"{_type(schema, f'{indent}   ')}{note}"


def _commented(comments: Iterable[str], indent: str) -> str:
    return "".join(f"{indent}// {line}".rstrip() + "\n" for line in comments)


def _default(schema: Schema) -> str:
    """A default as the library writes it: strings are quoted unless the property is an enum."""
    default = schema["default"]
    if isinstance(default, str):
        return default if schema.get("enum") else f'"{default}"'
    return json.dumps(default, ensure_ascii=False, separators=(",", ":"))


def _literal(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
