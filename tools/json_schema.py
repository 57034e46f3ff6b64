"""JSON as its standard has it, and JSON Schemas that are applied without fetching anything."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from jsonschema.protocols import Validator


def parse(text: str) -> Any:
    """The JSON value in `text`; raises ValueError and RecursionError. Python's own reader takes NaN, too."""
    return json.loads(text, parse_constant=_refuse)


def validator(schema: Any) -> Validator:
    """A validator for `schema`, in which a reference to a schema elsewhere cannot be resolved."""
    from jsonschema import Draft202012Validator
    from jsonschema.validators import validator_for
    from referencing import Registry

    return validator_for(schema, default=Draft202012Validator)(schema, registry=Registry())


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
