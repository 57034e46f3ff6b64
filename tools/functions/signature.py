"""A Python function as a tool: its type hints become a JSON Schema, and JSON its arguments."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic.json_schema import PydanticJsonSchemaWarning

from ..arguments import MISSING, UNKNOWN, ArgumentsError, json_object, json_text
from ..names import NAME, RESERVED
from .docstring import parse
from .errors import SignatureError
from .hints import definition, hints_of, note_in


class Signature:
    """The description of `function` for the model, and the way to call it.

    `function` is any callable: a function, a method, a partial, an object with `__call__`. Its name is
    `name`, or else its own. `vouched` is true if the function says `approval = "never"`: the person need not
    be asked before a call. Raises SignatureError for a name or a parameter that cannot be described to a
    model.
    """

    def __init__(self, function: Callable[..., Any], name: str | None = None) -> None:
        if inspect.isclass(function):
            raise SignatureError("it is a class; offer a function that makes one")
        defined = definition(function)
        self.function = function
        self.name = name or _name(function, defined)
        if not NAME.fullmatch(self.name):
            raise SignatureError("its name must be 1 to 64 ASCII letters, digits and underscores; rename it")
        if self.name in RESERVED:
            raise SignatureError("its name means a built-in tool or a role to the model; rename it")
        self.vouched = _vouched(function)
        self.description, descriptions = parse(defined.__doc__ or _class_docstring(function))
        self._parameters = _parameters(function)
        self._model = _model(function, self._parameters, descriptions)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", PydanticJsonSchemaWarning)  # a default that is no JSON
                self.schema: dict[str, Any] = _untitled(self._model.model_json_schema())
        except PydanticUserError as error:
            raise SignatureError(f"a type in it has no JSON Schema ({_first_line(error)})") from error
        self.schema.setdefault("properties", {})

    def call(self, body: str) -> Any:
        """The function's result (a coroutine if it is async) for the model's arguments `body`.

        Raises ArgumentsError if they do not fit, and whatever the function raises.
        """
        parsed = self.validate(body)
        positional, named = [], {}
        for number, parameter in enumerate(self._parameters.values()):
            value = getattr(parsed, f"p{number}")
            if parameter.kind is parameter.POSITIONAL_ONLY:
                positional.append(value)
            else:
                named[parameter.name] = value
        return self.function(*positional, **named)

    def validate(self, body: str) -> BaseModel:
        """The arguments in `body`, each of its hinted type; raises ArgumentsError."""
        json_object(body)
        try:
            return self._model.model_validate_json(json_text(body))
        except ValidationError as error:
            raise ArgumentsError.of(map(_problem, error.errors())) from error


def _name(function: Callable[..., Any], defined: Callable[..., Any]) -> str:
    """The function's name; a callable object has that of its class."""
    if defined.__name__ == "__call__":
        return type(getattr(function, "__self__", function)).__name__
    return defined.__name__


def _vouched(function: Callable[..., Any]) -> bool:
    approval = getattr(function, "approval", getattr(definition(function), "approval", None))
    if approval not in (None, "never"):
        raise SignatureError(f'its approval is {approval!r}; it can be "never", or not be set')
    return approval == "never"


def _class_docstring(function: Callable[..., Any]) -> str | None:
    return None if inspect.isroutine(function) or isinstance(function, partial) else type(function).__doc__


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """The parameters of a call, without those that a partial has set."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError) as error:
        raise SignatureError("its parameters are not known; wrap it in a function with type hints") from error
    settled = function.keywords if isinstance(function, partial) else {}
    return {name: parameter for name, parameter in parameters.items() if name not in settled}


def _model(
    function: Callable[..., Any], parameters: Mapping[str, inspect.Parameter], descriptions: dict[str, str]
) -> type[BaseModel]:
    """A pydantic model with a field for each parameter, under neutral names: `copy` or `_x` would clash."""
    try:
        hints = hints_of(function)
    except Exception as error:
        raise SignatureError(
            f"its type hints cannot be resolved ({type(error).__name__}: {error})"
        ) from error
    fields: dict[str, Any] = {}
    for number, parameter in enumerate(parameters.values()):
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise SignatureError(f"{parameter} cannot be told to a model; name each parameter")
        hint = hints.get(parameter.name, Any)
        default = ... if parameter.default is parameter.empty else parameter.default
        description = note_in(hint) or descriptions.get(parameter.name)
        fields[f"p{number}"] = (hint, Field(default, alias=parameter.name, description=description))
    config = ConfigDict(extra="forbid", strict=True, protected_namespaces=())
    try:
        return create_model("Arguments", __config__=config, **fields)
    except PydanticUserError as error:
        raise SignatureError(
            f"a parameter's type cannot be filled from JSON ({_first_line(error)})"
        ) from error


def _untitled(schema: Any) -> Any:
    """`schema` without the titles that pydantic makes from names: each would cost tokens."""
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


def _problem(error: Any) -> tuple[str, str]:
    told = {"missing": MISSING, "extra_forbidden": UNKNOWN}.get(error["type"])
    return ".".join(map(str, error["loc"])), told or f"{error['msg']} (got {repr(error['input'])[:80]})"


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0]
