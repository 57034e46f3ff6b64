"""JSON Schema to shapes: the part of a schema that a TypeScript type can express.

References are written out, `allOf` is merged, `const` is an enum of one value, and null among alternatives
becomes `nullable`. Constraints that TypeScript cannot express (`pattern`, `minimum`, `format`, `not`, `if`)
are left out. Every JSON value has a reading: a keyword whose value has the wrong type counts as absent, and a
schema that cannot be written out is `any`.

Keywords: https://json-schema.org/draft/2020-12, with `nullable` of OpenAPI 3.0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote

Schema = Mapping[str, Any]

MAX_DEPTH = 32
"""Levels of a schema that are written out; a deeper level is `any`."""

MAX_SHAPES = 2_000
"""Shapes of one schema that are written out: nested references can amount to 2 ** 32."""

ABSENT: Any = object()
"""The mark of a shape without a default: None is a default."""


@dataclass(frozen=True, slots=True)
class Names:
    """One of the types of these names."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Literals:
    """One of these JSON values."""

    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Property:
    """One key of an object."""

    name: str
    shape: Shape
    required: bool


@dataclass(frozen=True, slots=True)
class Object:
    """An object; `others` is the shape under every key that is not listed, if it is known."""

    properties: tuple[Property, ...] = ()
    others: Shape | None = None


@dataclass(frozen=True, slots=True)
class Array:
    """Any number of items of one shape."""

    items: Shape


@dataclass(frozen=True, slots=True)
class Tuple:
    """Items of the given shapes, followed by any number of `rest` if that is not None."""

    items: tuple[Shape, ...]
    rest: Shape | None


@dataclass(frozen=True, slots=True)
class Union:
    """Alternatives, each on a line of its own."""

    options: tuple[Shape, ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """A type with its annotations."""

    type: Names | Literals | Object | Array | Tuple | Union
    nullable: bool = False
    title: str | None = None
    description: str | None = None
    examples: tuple[Any, ...] = ()
    default: Any = ABSENT


ANY = Shape(Names(("any",)))
NEVER = Shape(Names(("never",)))
NULL = Shape(Names(("null",)))

_SCALARS = {"integer": "number", "number": "number", "string": "string", "boolean": "boolean", "null": "null"}
_KINDS = {*_SCALARS, "object", "array"}

_FORMS: Mapping[str, type | tuple[type, ...]] = {
    "type": (str, list),
    "items": (Mapping, bool, list),
    "additionalProperties": (Mapping, bool),
    **dict.fromkeys(("properties", "patternProperties"), Mapping),
    **dict.fromkeys(("enum", "required", "examples", "prefixItems", "allOf", "anyOf", "oneOf"), list),
    **dict.fromkeys(("$ref", "description", "title"), str),
}
_REMARKS = ("title", "description", "examples", "default", "deprecated", "nullable", "$defs", "definitions")


def shape_of(schema: Schema) -> Shape:
    """The shape of `schema`, of at most `MAX_SHAPES` parts and `MAX_DEPTH` levels. Never raises."""
    return _Reader(schema).shape(schema, ())


@dataclass(slots=True)
class _Reader:
    """Reads the parts of one schema; `path` lists the steps from its root, and the references among them."""

    root: Schema
    shapes: int = field(default=0, init=False)

    def shape(self, schema: Any, path: tuple[str, ...]) -> Shape:
        self.shapes += 1
        if schema is False:
            return NEVER
        if not isinstance(schema, Mapping) or len(path) > MAX_DEPTH or self.shapes > MAX_SHAPES:
            return ANY
        flat, path = self._flat(schema, (*path, ""))
        shape = self._union(flat, path) or self._enum(flat) or self._typed(flat, path)
        nullable = shape.nullable or flat.get("nullable") is True
        if nullable and isinstance(shape.type, Union):
            shape, nullable = replace(shape, type=_with_null(shape.type)), False
        return replace(
            shape,
            nullable=nullable,
            title=flat.get("title", shape.title),
            description=flat.get("description", shape.description),
            examples=tuple(flat["examples"]) if flat.get("examples") else shape.examples,
            default=flat.get("default", shape.default),
        )

    def _flat(self, schema: Schema, path: tuple[str, ...]) -> tuple[dict[str, Any], tuple[str, ...]]:
        """`schema` with `$ref` and `allOf` merged into it; a `$ref` that cannot be written out remains."""
        flat: dict[str, Any] = {
            key: value for key, value in schema.items() if isinstance(value, _FORMS.get(key, object))
        }
        if len(path) > MAX_DEPTH:
            return flat, path
        for part in flat.pop("allOf", ()):
            if isinstance(part, Mapping):
                below, path = self._flat(part, (*path, ""))
                flat = _merged(below, flat)
        reference: str = flat.get("$ref", "")
        if reference and reference not in path:
            target = self._target(reference)
            if target is not None:
                del flat["$ref"]
                below, path = self._flat(target, (*path, reference))
                flat = _merged(below, flat)
        return flat, path

    def _target(self, reference: str) -> Schema | None:
        """The target of a reference into the same schema (a JSON Pointer, RFC 6901)."""
        if not reference.startswith("#"):
            return None
        found: Any = self.root
        for step in unquote(reference[1:]).split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and key.isdecimal() and int(key) < len(found):
                found = found[int(key)]
            elif isinstance(found, Mapping) and key in found:
                found = found[key]
            else:
                return None
        return found if isinstance(found, Mapping) else None

    def _union(self, flat: dict[str, Any], path: tuple[str, ...]) -> Shape | None:
        options = flat.get("oneOf") or flat.get("anyOf")
        if not options:
            return None
        shared = {key: value for key, value in flat.items() if key not in (*_REMARKS, "oneOf", "anyOf")}
        if not shared.keys() & {"type", "enum", "const", "properties", "items", "prefixItems"}:
            return _either([self.shape(option, path) for option in options], keep_single="oneOf" in flat)
        # Keywords beside the alternatives hold for each; the resulting shapes are often all the same.
        shapes = [self.shape({**shared, "allOf": [option]}, path) for option in options]
        return _either(list({repr(shape): shape for shape in shapes}.values()))

    def _enum(self, flat: dict[str, Any]) -> Shape | None:
        values = [flat["const"]] if "const" in flat else flat.get("enum", [])
        if flat.get("type") == "string":
            values = [value for value in values if isinstance(value, str)]
        if not values:
            return None
        return NULL if values == [None] else Shape(Literals(tuple(values)))

    def _typed(self, flat: dict[str, Any], path: tuple[str, ...]) -> Shape:
        kinds = flat.get("type")
        if not isinstance(kinds, list):
            return self._kind(kinds, flat, path)
        kinds = [kind for kind in kinds if isinstance(kind, str) and kind in _KINDS]
        plain = [_SCALARS.get(kind, kind) for kind in kinds]
        has_keys = "properties" in flat or _others(flat)
        if kinds and "array" not in kinds and not ("object" in kinds and has_keys):
            return Shape(Names(tuple(plain)))
        return _either([self._kind(kind, flat, path) for kind in kinds]) if kinds else ANY

    def _kind(self, kind: Any, flat: dict[str, Any], path: tuple[str, ...]) -> Shape:
        if kind == "object" or (kind is None and "properties" in flat):
            return Shape(self._object(flat, path))
        if kind == "array" or (kind is None and flat.keys() & {"items", "prefixItems"}):
            return self._array(flat, path)
        if isinstance(kind, str) and kind in _SCALARS:
            return Shape(Names((_SCALARS[kind],)))
        if "$ref" in flat:
            name = re.sub(r"[^\w.#-]", "_", flat["$ref"].rsplit("/", 1)[-1])
            return Shape(Names((f"any /* {name} */",)))
        return ANY

    def _object(self, flat: dict[str, Any], path: tuple[str, ...]) -> Object:
        required = flat.get("required", [])
        properties = tuple(
            Property(str(name), self.shape(value, path), name in required)
            for name, value in flat.get("properties", {}).items()
        )
        others = _others(flat)
        # In TypeScript the listed keys must fit the type of the others too, so there it is any.
        if properties or len(others) > 1:
            return Object(properties, ANY if others else None)
        return Object(properties, self.shape(others[0], path) if others else None)

    def _array(self, flat: dict[str, Any], path: tuple[str, ...]) -> Shape:
        items = flat.get("items")
        heads = items if isinstance(items, list) else flat.get("prefixItems")
        if not heads:
            return Shape(Array(self.shape(items, path)) if _is_schema(items) else Names(("Array<any>",)))
        rest = flat.get("additionalItems") if isinstance(items, list) else items
        most = flat.get("maxItems")
        is_closed = rest is False or (isinstance(most, int) and most <= len(heads))
        shapes = tuple(self.shape(head, path) for head in heads)
        return Shape(Tuple(shapes, None if is_closed else self.shape(rest, path)))


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """One schema that requires what both require; where only one can be expressed, `above` is."""
    merged = {**below, **above}
    if "properties" in below and "properties" in above:
        merged["properties"] = {**below["properties"], **above["properties"]}
        for name in below["properties"].keys() & above["properties"].keys():
            merged["properties"][name] = {"allOf": [below["properties"][name], above["properties"][name]]}
    if "required" in below and "required" in above:
        merged["required"] = [*below["required"], *above["required"]]
    return merged


def _with_null(union: Union) -> Union:
    return union if NULL in union.options else Union((*union.options, NULL))


def _either(shapes: list[Shape], *, keep_single: bool = False) -> Shape:
    """A union of `shapes`, with null last. A single shape stays itself, nullable if null stands beside it."""
    real = [shape for shape in shapes if shape.type != NULL.type]
    if len(real) == len(shapes) and (keep_single or len(real) > 1):
        return Shape(Union(tuple(shapes)))
    if not real:
        return NULL
    if len(real) == 1:
        return replace(real[0], nullable=real[0].nullable or len(shapes) > 1)
    return Shape(Union((*real, NULL)))


def _others(flat: dict[str, Any]) -> list[Schema]:
    """The schemas of keys that are not listed. `additionalProperties: true` is none."""
    others = [*flat.get("patternProperties", {}).values(), flat.get("additionalProperties")]
    return [other for other in others if isinstance(other, Mapping)]


def _is_schema(value: object) -> bool:
    return isinstance(value, Mapping | bool)
