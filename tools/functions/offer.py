"""The functions that a target offers: a file, a module, or an entry point of a package."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from .errors import SignatureError, what
from .signature import Signature

GROUP = "gptoss_chat.functions"
"""The entry-point group in which a package advertises a module, a function, or a list of functions."""


class BadTarget(Exception):
    """The target cannot be used, because of `line` of `file`, if those are known."""

    def __init__(self, message: str, file: str | None = None, line: int | None = None) -> None:
        super().__init__(message)
        self.file = file
        self.line = line


@dataclass(slots=True)
class Offer:
    """The functions that can be offered, by name, and the reasons why others cannot."""

    signatures: dict[str, Signature] = field(default_factory=dict)
    refused: list[BadTarget] = field(default_factory=list)


def offer(target: str, only: str | None = None) -> Offer:
    """The offer of `target`: an absolute path, a module, or an entry point of our group.

    A module offers the function `only`, or those in `__all__`, or else the public ones that it defines.
    Raises BadTarget if the target cannot be imported or has nothing to offer.
    """
    found = Offer()
    for name, function in _functions(_load(target), only):
        try:
            signature = Signature(function, name)
        except SignatureError as error:
            called = name or getattr(function, "__name__", type(function).__name__)
            found.refused.append(BadTarget(f"{called} cannot be offered: {error}", *_definition(function)))
        else:
            found.signatures[signature.name] = signature
    if not found.signatures and found.refused:
        raise found.refused[0]
    if not found.signatures:
        raise BadTarget("defines no public function; add one with type hints and a docstring")
    return found


def _load(target: str) -> object:
    if Path(target).is_absolute():
        return _import_file(Path(target))
    advertised = list(importlib.metadata.entry_points(group=GROUP, name=target))
    if len({entry.value for entry in advertised}) > 1:
        who = ", ".join(entry.value for entry in advertised)
        raise BadTarget(f"more than one package advertises functions by that name ({who}); name the module")
    gone = "no module and no entry point of that name is installed; the name of a file ends in .py"
    if not advertised and not all(part.isidentifier() for part in target.split(".")):
        raise BadTarget(gone)
    try:
        return advertised[0].load() if advertised else importlib.import_module(target)
    except BaseException as error:
        missing = f"{error.name}." if isinstance(error, ModuleNotFoundError) else None
        if missing and not advertised and f"{target}.".startswith(missing):
            raise BadTarget(gone) from error
        traceback.print_exc()
        if isinstance(error, SyntaxError):
            raise BadTarget(what(error), error.filename, error.lineno) from error
        last = traceback.extract_tb(error.__traceback__)[-1]
        raise BadTarget(what(error), last.filename, last.lineno) from error


def _import_file(path: Path) -> ModuleType:
    """Import `path` as Python runs a script, with its folder first in the search path."""
    if not path.is_file():
        raise BadTarget("there is no such file")
    sys.path.insert(0, str(path.parent))
    name = f"{path.stem}_functions"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise BadTarget("is not a Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        traceback.print_exc()
        raise BadTarget(what(error), str(path), _line(error, path)) from error
    return module


def _functions(loaded: object, only: str | None) -> list[tuple[str | None, Callable[..., Any]]]:
    """The functions, each with its name in the place where it was found."""
    if only is not None:
        function = getattr(loaded, only, None)
        if not callable(function) or inspect.isclass(function):
            raise BadTarget(f"has no function {only}")
        return [(only, function)]
    if not isinstance(loaded, ModuleType):
        given: Iterable[Any] = loaded if isinstance(loaded, list | tuple) else [loaded]
        strange = [one for one in given if not callable(one)]
        if strange:
            raise BadTarget(f"advertises {type(strange[0]).__name__}, which is no module and no function")
        return [(None, one) for one in given]
    if hasattr(loaded, "__all__"):
        missing = [name for name in loaded.__all__ if not hasattr(loaded, name)]
        if missing:
            raise BadTarget(f"__all__ names {', '.join(missing)}, which it does not define")
        named = {name: getattr(loaded, name) for name in loaded.__all__}
        return [(name, one) for name, one in named.items() if callable(one) and not inspect.isclass(one)]
    return [
        (name, value)
        for name, value in vars(loaded).items()
        if not name.startswith("_") and inspect.isfunction(value) and value.__module__ == loaded.__name__
    ]


def _line(error: BaseException, path: Path) -> int | None:
    """The line of the file at `path` at which `error` occurred."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return error.lineno
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)
    ]
    return lines[-1] if lines else None


def _definition(function: Callable[..., Any]) -> tuple[str | None, int | None]:
    """The file and the line of a function's definition."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return (code.co_filename, code.co_firstlineno) if code is not None else (None, None)
