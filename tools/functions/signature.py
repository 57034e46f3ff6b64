"""A Python function as a tool: its type hints become a JSON Schema, and JSON becomes its arguments."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic_core import to_jsonable_python

from .docstring import parse

# Names that harmony's header can carry, and those that mean something else to the model.
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
RESERVED = {"python", "browser", "container", "bash", "shell", "functions"}
RESERVED |= {"assistant", "user", "system", "developer", "tool", "all"}
FENCE = re.compile(r"```(?:json)?\s*\n(.*?)\n?\s*```", re.DOTALL)


class SignatureError(Exception):
    """The function cannot be offered to a model; the message says why and what to do."""


class ArgumentsError(Exception):
    """The model's arguments do not fit; the message tells the model what is wrong with each."""


class Signature:
    """How `function` is described to the model and called by it.

    Raises SignatureError for a name or a parameter that cannot be told to a model.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.name = function.__name__
        if not NAME.fullmatch(self.name):
            raise SignatureError("its name must be 1 to 64 ASCII letters, digits and underscores; rename it")
        if self.name in RESERVED:
            raise SignatureError("its name means a built-in tool or a role to the model; rename it")
        self.description, descriptions = parse(function.__doc__)
        self._parameters = inspect.signature(function).parameters
        self._model = _model(function, descriptions)
        try:
            self.schema: dict[str, Any] = _untitled(self._model.model_json_schema())
        except PydanticUserError as error:
            raise SignatureError(f"a type in it has no JSON Schema ({_first_line(error)})") from error
        self.schema.setdefault("properties", {})

    def call(self, body: str) -> Any:
        """The function's result (a coroutine if it is async) for the model's arguments `body`.

        Raises ArgumentsError if they do not fit, and whatever the function raises.
        """
        parsed = self._validate(body)
        positional, named = [], {}
        for number, parameter in enumerate(self._parameters.values()):
            value = getattr(parsed, f"p{number}")
            if parameter.kind is parameter.POSITIONAL_ONLY:
                positional.append(value)
            else:
                named[parameter.name] = value
        return self.function(*positional, **named)

    def _validate(self, body: str) -> BaseModel:
        text = body.strip()
        if fenced := FENCE.fullmatch(text):
            text = fenced[1]
        try:
            arguments = json.loads(text, parse_constant=_refuse_constant)
        except json.JSONDecodeError as error:
            place = f"line {error.lineno} column {error.colno}"
            raise ArgumentsError(f"The arguments are not valid JSON at {place}: {error.msg}.") from error
        except (ValueError, RecursionError) as error:
            raise ArgumentsError(f"The arguments are not valid JSON: {_first_line(error)}.") from error
        if not isinstance(arguments, dict):
            raise ArgumentsError(f"Expected a JSON object of arguments, got {type(arguments).__name__}.")
        try:
            return self._model.model_validate_json(text)
        except ValidationError as error:
            raise ArgumentsError(
                "\n".join(["The arguments do not fit:", *map(_problem, error.errors())])
            ) from error


def as_text(result: Any) -> str:
    """What the model is told of a function's result: a string as it is, anything else as JSON.

    Raises ValueError when it is neither.
    """
    if isinstance(result, str):
        return result
    return json.dumps(to_jsonable_python(result), ensure_ascii=False)


def _model(function: Callable[..., Any], descriptions: dict[str, str]) -> type[BaseModel]:
    """A pydantic model with one field per parameter, named neutrally: `copy` or `_x` would clash there."""
    try:
        hints = get_type_hints(function, include_extras=True)
    except Exception as error:
        raise SignatureError(
            f"its type hints cannot be resolved ({type(error).__name__}: {error})"
        ) from error
    fields: dict[str, Any] = {}
    for number, parameter in enumerate(inspect.signature(function).parameters.values()):
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise SignatureError(f"{parameter} cannot be told to a model; name each parameter")
        hint = hints.get(parameter.name, Any)
        default = ... if parameter.default is parameter.empty else parameter.default
        description = _annotated_text(hint) or descriptions.get(parameter.name)
        fields[f"p{number}"] = (hint, Field(default, alias=parameter.name, description=description))
    config = ConfigDict(extra="forbid", strict=True, protected_namespaces=())
    try:
        return create_model("Arguments", __config__=config, **fields)
    except PydanticUserError as error:
        raise SignatureError(
            f"a parameter's type cannot be filled from JSON ({_first_line(error)})"
        ) from error


def _annotated_text(hint: Any) -> str | None:
    if get_origin(hint) is Annotated:
        return next((note for note in get_args(hint)[1:] if isinstance(note, str)), None)
    return None


def _untitled(schema: Any) -> Any:
    """`schema` without the titles that pydantic makes up from names: each would cost the model tokens."""
    if isinstance(schema, list):
        return [_untitled(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: {name: _untitled(one) for name, one in value.items()}
        if key in ("properties", "$defs")
        else _untitled(value)
        for key, value in schema.items()
        if not (key == "title" and isinstance(value, str))
    }


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _problem(error: Any) -> str:
    place = ".".join(map(str, error["loc"])) or "arguments"
    if error["type"] in ("missing", "extra_forbidden"):
        return f"- {place}: {error['msg']}"
    return f"- {place}: {error['msg']} (got {repr(error['input'])[:80]})"


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0]
