"""The process that holds the person's functions: `python -m gptoss_tui.tools.functions.worker FILE [NAME]`.

A process of its own, so that what the functions print, crash, block or hold the interpreter for is not the
screen's trouble, and so that a call can be ended. It speaks JSON lines on what were its standard streams:
first `{"functions": [...]}` or `{"error": ..., "line": ...}`, then one `{"text", "is_error"}` for each
request `{"name", "arguments"}`, with the `"type"` of a result or an error. With NAME it offers that function
alone. It ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import json
import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO

from ..excerpt import excerpt
from .signature import ArgumentsError, Signature, SignatureError, as_text


class BadFile(Exception):
    """The file cannot be used, because of what stands at `line`."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


def import_file(path: Path) -> ModuleType:
    """Import `path` as a script would be run, its folder first in the search path."""
    sys.path.insert(0, str(path.parent))
    name = f"{path.stem}_functions"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise BadFile("is not a Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        traceback.print_exc()
        raise BadFile(_what(error), _line(error, path)) from error
    return module


def signatures(module: ModuleType, only: str | None = None) -> dict[str, Signature]:
    """What the module offers: `only`, or the functions in `__all__`, or else the public ones it defines."""
    functions: list[Callable[..., Any]]
    if only is not None:
        function = getattr(module, only, None)
        if not inspect.isroutine(function):
            raise BadFile(f"has no function {only}")
        functions = [function]
    elif hasattr(module, "__all__"):
        missing = [name for name in module.__all__ if not inspect.isroutine(getattr(module, name, None))]
        if missing:
            raise BadFile(f"__all__ names {', '.join(missing)}, which is no function of the file")
        functions = [getattr(module, name) for name in module.__all__]
    else:
        functions = [
            value
            for name, value in vars(module).items()
            if not name.startswith("_") and inspect.isfunction(value) and value.__module__ == module.__name__
        ]
    if not functions:
        raise BadFile("defines no public function; add one with type hints and a docstring")
    found = {}
    for function in functions:
        try:
            found[function.__name__] = Signature(function)
        except SignatureError as error:
            line = inspect.unwrap(function).__code__.co_firstlineno if inspect.isfunction(function) else None
            raise BadFile(f"{function.__name__} cannot be offered: {error}", line) from error
    return found


def answer(signature: Signature, arguments: str) -> dict[str, Any]:
    """Run one call; whatever goes wrong becomes text for the model."""
    try:
        result = signature.call(arguments)
        if inspect.isawaitable(result):
            result = asyncio.run(_await(result))
        kind = "str" if isinstance(result, str) else type(result).__name__
        return {"text": excerpt(as_text(result)), "is_error": False, "type": kind}
    except ArgumentsError as error:
        return _failure(error, str(error))
    except BaseException as error:
        traceback.print_exc()
        return _failure(error, _what(error))


def _failure(error: BaseException, text: str) -> dict[str, Any]:
    return {"text": f"[ERROR] {excerpt(text)}", "is_error": True, "type": type(error).__name__}


async def _await(result: Any) -> Any:
    return await result


def _what(error: BaseException) -> str:
    """The error's class and first line."""
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    first = (text.splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _line(error: BaseException, path: Path) -> int | None:
    """The line of the file at `path` where `error` came up."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return error.lineno
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)
    ]
    return lines[-1] if lines else None


def _streams() -> tuple[TextIO, TextIO]:
    """Our ends of the conversation, out of reach for the functions: what they print goes to the log."""
    requests = os.fdopen(os.dup(0), "r", encoding="utf-8")
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    return requests, replies


def _listen(requests: TextIO, inbox: queue.SimpleQueue[dict[str, str]]) -> None:
    for line in requests:
        inbox.put(json.loads(line))
    os._exit(0)  # the app is gone, whatever a function may be doing


def main() -> None:
    requests, replies = _streams()

    def say(message: dict[str, Any]) -> None:
        print(json.dumps(message), file=replies, flush=True)

    inbox: queue.SimpleQueue[dict[str, str]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests, inbox), daemon=True).start()
    try:
        offered = signatures(import_file(Path(sys.argv[1])), *sys.argv[2:])
    except BadFile as error:
        say({"error": str(error), "line": error.line})
        return
    say(
        {
            "functions": [
                {"name": one.name, "description": one.description, "parameters": one.schema}
                for one in offered.values()
            ]
        }
    )
    while True:
        request = inbox.get()
        say(answer(offered[request["name"]], request["arguments"]))


if __name__ == "__main__":
    main()
