"""The filter that is a Python function of the person, in a process of its own."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from ...model.engine import Loading
from ...tools.functions import FunctionsError, FunctionsProcess
from .filter import FilterError


class FunctionFilter:
    """The `function` of the Python file `path`: `def look(text: str) -> str | None`, async or not.

    A function with a second parameter gets the text before the passage. What it prints is dropped. If it
    hangs or ends its process, the next passage starts a new one.
    """

    def __init__(self, path: Path, function: str, patience: float = 10.0) -> None:
        self.patience = patience
        self._function = function
        self._process = FunctionsProcess(path.resolve(), None, function)
        self._parameters: list[str] = []
        self._turn = asyncio.Lock()  # a request that is cancelled ends the process, and no other may be in it

    async def load(self) -> AsyncIterator[Loading]:
        """Import the file; see `ReasoningFilter.load`."""
        if self._parameters:
            return
        yield Loading("importing the reasoning filter", 0, 0)
        try:
            [offered] = (await self._process.start()).functions
        except FunctionsError as error:
            raise FilterError(str(error)) from error
        parameters = list(offered["parameters"]["properties"])
        if not 1 <= len(parameters) <= 2:
            await self.close()
            wants = "one parameter, the passage, and may have a second, what came before it"
            raise FilterError(f"{self._process.target}: {self._function} must have {wants}.")
        self._parameters = parameters

    async def look(self, text: str, before: str) -> str | None:
        """The function's return value for `text`; see `ReasoningFilter.look`."""
        arguments = json.dumps(dict(zip(self._parameters, (text, before), strict=False)))
        async with self._turn:
            return _verdict(await self._process.request(self._function, arguments))

    async def close(self) -> None:
        """End the process; the next passage would start it again."""
        await self._process.end()


def _verdict(reply: dict[str, Any]) -> str | None:
    match reply:
        case {"is_error": True, "type": kind}:
            raise FilterError(f"it raised {kind}")
        case {"is_error": True, "text": str(text)}:
            raise FilterError(text.removeprefix("[ERROR] "))
        case {"type": "str", "text": str(text)}:
            return text
        case {"type": "NoneType"}:
            return None
        case {"type": kind}:
            raise FilterError(f"it returned {kind}, neither a text nor None")
        case _:
            raise FilterError("it gave no answer")


def check_function(path: Path, function: str) -> None:
    """Check the function as far as its file shows, without importing it; raises FilterError."""
    try:
        source = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        raise FilterError(f"{path}: there is no such file with a reasoning filter") from None
    if "import *" not in source and not re.search(rf"\b{function}\b", source):
        raise FilterError(f"{path}: the reasoning filter {function} is not in this file")
