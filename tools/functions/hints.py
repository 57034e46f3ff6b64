"""The type hints of a callable, in a form that pydantic accepts."""

from __future__ import annotations

import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import typing_extensions


def definition(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function whose name, docstring and hints count for `function`, a partial or an object perhaps."""
    if isinstance(function, functools.partial):
        return definition(function.func)
    return function if inspect.isroutine(function) else type(function).__call__


def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The hint of each parameter; raises the errors of resolving them."""
    found = get_type_hints(definition(function), include_extras=True)
    return {name: _portable(hint) for name, hint in found.items()}


def note_in(hint: Any) -> str | None:
    """The description in `Annotated[int, "How many."]`."""
    if get_origin(hint) is Annotated:
        return next((note for note in get_args(hint)[1:] if isinstance(note, str)), None)
    return None


def _portable(hint: Any, within: tuple[Any, ...] = ()) -> Any:
    """`hint` with each TypedDict of `typing` replaced by one of `typing_extensions`.

    Before Python 3.12 pydantic accepts no other. Those inside dataclasses and models stay, and pydantic names
    the remedy.
    """
    if sys.version_info >= (3, 12):
        return hint
    if typing.is_typeddict(hint) and type(hint).__module__ == "typing":
        if hint in within:
            raise TypeError(f"{hint.__name__} contains itself; take TypedDict from typing_extensions")
        fields = {
            name: typing_extensions.NotRequired[told] if name in hint.__optional_keys__ else told
            for name, of in get_type_hints(hint, include_extras=True).items()
            for told in [_portable(of, (*within, hint))]
        }
        made: Any = typing_extensions.TypedDict(hint.__name__, fields)  # type: ignore[misc]
        made.__doc__ = hint.__doc__
        return made
    arguments = get_args(hint)
    portable = tuple(_portable(argument, within) for argument in arguments)
    if all(new is old for new, old in zip(portable, arguments, strict=True)):
        return hint
    if get_origin(hint) is Annotated:
        return Annotated[(portable[0], *hint.__metadata__)]
    if isinstance(hint, types.UnionType):
        return Union[portable]  # noqa: UP007
    return hint.copy_with(portable) if hasattr(hint, "copy_with") else get_origin(hint)[portable]
