"""The process that holds the person's functions: `python -m gptoss_tui.tools.functions.worker TARGET [NAME]`.

It is a process of its own, so that prints, crashes and blocking functions do not affect the screen, and so
that a call can be ended. TARGET is the argument of `offer`; with NAME it offers that function alone. The
first request is `{"do": "offer"}`, answered by `{"functions": [...], "refused": [...]}` or `{"error", "file",
"line"}`; each later one is `{"do": "call" or "check", "name", "arguments"}`, answered by `{"text",
"is_error"}`, with the `"type"` of a result or an error. A check runs nothing: the text is the objection to
the arguments.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import traceback
from typing import Any

from gptoss_tui.workers.parent import serve
from gptoss_tui.workers.wire import Wire

from ..arguments import ArgumentsError
from ..excerpt import excerpt
from .errors import what
from .offer import BadTarget, offer
from .result import as_text
from .signature import Signature


def answer(signature: Signature, arguments: str, runner: asyncio.Runner) -> dict[str, Any]:
    """Run one call; any error becomes a text for the model."""
    try:
        result = signature.call(arguments)
        if inspect.isawaitable(result):
            result = runner.run(_await(result))
        kind = "str" if isinstance(result, str) else type(result).__name__
        return {"text": excerpt(as_text(result)), "is_error": False, "type": kind}
    except ArgumentsError as error:
        return _failure(error, str(error))
    except BaseException as error:
        traceback.print_exc()
        return _failure(error, what(error))


def check(signature: Signature, arguments: str) -> dict[str, Any]:
    """The objection to the arguments of a call; an empty text if there is none."""
    try:
        signature.validate(arguments)
    except ArgumentsError as error:
        return _failure(error, str(error))
    except BaseException as error:  # a validator of the person's own
        traceback.print_exc()
        return _failure(error, what(error))
    return {"text": "", "is_error": False}


def _failure(error: BaseException, text: str) -> dict[str, Any]:
    return {"text": f"[ERROR] {excerpt(text)}", "is_error": True, "type": type(error).__name__}


async def _await(result: Any) -> Any:
    return await result


def _refusal(reason: BadTarget) -> dict[str, Any]:
    return {"error": str(reason), "file": reason.file, "line": reason.line}


class Imported:
    """The functions of TARGET, imported by the first request, and the event loop of the async ones."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner
        self._signatures: dict[str, Signature] = {}

    def work(self, request: dict[str, str]) -> dict[str, Any]:
        """The answer to a request."""
        if request["do"] == "offer":
            return self._offer()
        signature = self._signatures.get(request["name"])
        if signature is None:
            gone = f"[ERROR] {request['name']} is not defined any more."
            return {"text": gone, "is_error": True, "type": "NameError"}
        if request["do"] == "check":
            return check(signature, request["arguments"])
        return answer(signature, request["arguments"], self._runner)

    def _offer(self) -> dict[str, Any]:
        try:
            offered = offer(*sys.argv[1:])
        except BadTarget as error:
            return _refusal(error)
        self._signatures = offered.signatures
        functions = [
            {
                "name": one.name,
                "description": one.description,
                "parameters": one.schema,
                "vouched": one.vouched,
            }
            for one in offered.signatures.values()
        ]
        return {"functions": functions, "refused": [_refusal(one) for one in offered.refused]}


def main() -> None:
    with asyncio.Runner() as runner:
        serve(Wire(), Imported(runner).work)


if __name__ == "__main__":
    main()
