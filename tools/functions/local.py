"""A callable as a tool in this process: for notebooks, scripts and tests."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Callable
from typing import Any

from ..arguments import ArgumentsError
from ..excerpt import excerpt
from ..tool import Output, Risk, Tool
from .errors import SignatureError, what
from .load import TIME_LIMIT, vouched_risk
from .process import FunctionsError
from .result import as_text


class CallableTool(Tool):
    """`function` as a tool: `CallableTool(get_weather)`.

    An async function runs in the caller's event loop, any other in a thread, which cannot be ended: after
    `time_limit` seconds the call fails, and the thread goes on. The function's prints are printed. Raises
    FunctionsError for a function that cannot be offered to a model.
    """

    where = "in this process"

    def __init__(self, function: Callable[..., Any], *, time_limit: float = TIME_LIMIT) -> None:
        from .signature import Signature

        try:
            self._signature = Signature(function)
        except SignatureError as error:
            raise FunctionsError(f"{function!r} cannot be offered: {error}.") from error
        self.time_limit = time_limit
        self.name = f"functions.{self._signature.name}"
        self.description = self._signature.description
        self.parameters = self._signature.schema
        self.origin = getattr(inspect.getmodule(function), "__name__", "")

    def risk(self, arguments: str) -> Risk:
        """The risk of any code of the person's, unless the definition says `approval = "never"`."""
        return vouched_risk(self._signature.vouched)

    async def objection(self, arguments: str) -> str | None:
        """The fields that do not fit, by name: see `Tool.objection`."""
        try:
            self._signature.validate(arguments)
        except Exception as error:
            return f"[ERROR] {error if isinstance(error, ArgumentsError) else what(error)}"
        return None

    async def call(self, arguments: str) -> AsyncGenerator[Output, None]:
        """Validate the JSON `arguments` and call the function; see `Tool.call`."""
        try:
            text = as_text(await asyncio.wait_for(self._result(arguments), self.time_limit))
        except TimeoutError:
            text = f"{self._signature.name} timed out after {self.time_limit:g} s."
        except ArgumentsError as error:
            text = str(error)
        except Exception as error:
            text = what(error)
        else:
            yield Output(excerpt(text))
            return
        yield Output(f"[ERROR] {excerpt(text)}", is_error=True)

    async def _result(self, arguments: str) -> Any:
        function = self._signature.function
        if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
            return await self._signature.call(arguments)
        result = await asyncio.to_thread(self._signature.call, arguments)
        return await result if inspect.isawaitable(result) else result
