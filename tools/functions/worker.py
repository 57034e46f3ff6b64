"""The process that holds the person's functions: `python -m gptoss_tui.tools.functions.worker TARGET [NAME]`.

A process of its own, so that what the functions print, crash, block or hold the interpreter for is not the
screen's trouble, and so that a call can be ended. TARGET is what `offer` takes; with NAME it offers that
function alone. It speaks JSON lines on what were its standard streams: first `{"functions": [...],
"refused": [...]}` or `{"error", "file", "line"}`, then one `{"text", "is_error"}` for each request
`{"name", "arguments"}`, with the `"type"` of a result or an error. A request with `"check"` runs nothing: the
text says what is wrong with the arguments. It ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import queue
import sys
import threading
import traceback
from typing import Any, TextIO

from ..arguments import ArgumentsError
from ..excerpt import excerpt
from ..lines import say, take_streams
from .errors import what
from .offer import BadTarget, offer
from .result import as_text
from .signature import Signature


def answer(signature: Signature, arguments: str, runner: asyncio.Runner) -> dict[str, Any]:
    """Run one call; whatever goes wrong becomes text for the model."""
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
    """What is wrong with the arguments of a call, as text; empty if nothing."""
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


def _listen(requests: TextIO, inbox: queue.SimpleQueue[dict[str, Any]]) -> None:
    for line in requests:
        inbox.put(json.loads(line))
    os._exit(0)  # the app is gone, whatever a function may be doing


def _refusal(reason: BadTarget) -> dict[str, Any]:
    return {"error": str(reason), "file": reason.file, "line": reason.line}


def main() -> None:
    requests, replies = take_streams()
    inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests, inbox), daemon=True).start()
    try:
        offered = offer(*sys.argv[1:])
    except BadTarget as error:
        say(replies, _refusal(error))
        return
    functions = [
        {"name": one.name, "description": one.description, "parameters": one.schema, "vouched": one.vouched}
        for one in offered.signatures.values()
    ]
    say(replies, {"functions": functions, "refused": [_refusal(one) for one in offered.refused]})
    with asyncio.Runner() as runner:
        while True:
            request = inbox.get()
            signature = offered.signatures.get(request["name"])
            if signature is None:
                gone = f"[ERROR] {request['name']} is not defined any more."
                say(replies, {"text": gone, "is_error": True, "type": "NameError"})
            elif request.get("check"):
                say(replies, check(signature, request["arguments"]))
            else:
                say(replies, answer(signature, request["arguments"], runner))


if __name__ == "__main__":
    main()
