"""A sieve between the wire and the SDK: it removes faulty tools from a listing, and keeps the others.

The SDK judges a listing as a whole, and raises for the first tool that does not fit the protocol. So each
tool is first judged here, by the SDK's own models. Optional parts are removed where they are faulty, and a
schema without a type is read as that of an object, as arguments always are.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

from jsonschema.exceptions import SchemaError
from jsonschema.validators import validator_for
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCResponse
from mcp_types.methods import parse_server_result
from pydantic import ValidationError

if TYPE_CHECKING:
    from mcp.client._transport import ReadStream, TransportStreams

    Transport = AbstractAsyncContextManager[TransportStreams]

DEEPEST_SCHEMA = 64
"""Levels."""

_WORDS = ("name", "title", "description")

_LISTING: dict[str, Any] = {"tools": [], "resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
"""A listing without tools, in the form that every version of the protocol accepts."""


class Sieve:
    """Lets the usable tools of a listing through; `version` is the protocol's, once it is agreed on."""

    def __init__(self, version: Callable[[], str]) -> None:
        self._version = version
        self._passed: list[str] = []
        self._refused: list[str] = []

    @asynccontextmanager
    async def before(self, transport: Transport) -> AsyncGenerator[TransportStreams, None]:
        """The streams of `transport`, with the incoming one sifted."""
        async with transport as (received, sent):
            yield _Sifted(received, self._sift), sent

    def taken(self) -> tuple[list[str], list[str]]:
        """The names of usable tools and the sentences about the others, since the last call."""
        taken = self._passed, self._refused
        self._passed, self._refused = [], []
        return taken

    def _sift(self, message: SessionMessage | Exception) -> SessionMessage | Exception:
        if isinstance(message, SessionMessage) and isinstance(message.message, JSONRPCResponse):
            result = message.message.result
            if "tools" in result and self._version():
                self._sift_listing(result)
        return message

    def _sift_listing(self, result: dict[str, Any]) -> None:
        """Keep the usable tools of a listing, and of its other parts only those that the SDK accepts."""
        tools = result["tools"]
        if not isinstance(tools, list):
            self._refused.append("lists its tools in no list, so it has none.")
            tools = []
        result["tools"] = []
        try:
            parse_server_result("tools/list", self._version(), result)
        except ValueError:  # of which ValidationError is one
            cursor = result.get("nextCursor")
            result.clear()
            result.update(_LISTING, **({"nextCursor": cursor} if isinstance(cursor, str) else {}))
        result["tools"] = [kept for tool in tools if (kept := self._kept(tool)) is not None]

    def _kept(self, tool: Any) -> dict[str, Any] | None:
        """The tool in a form that the SDK accepts; None if there is none."""
        if not isinstance(tool, dict) or not isinstance(name := tool.get("name"), str):
            self._refused.append("has a tool without a name. That one is left out.")
            return None
        tool = tool | {"inputSchema": _of_an_object(tool.get("inputSchema"))}
        if not _applies(tool.get("outputSchema")):
            del tool["outputSchema"]
        bare = {key: tool[key] for key in _WORDS if isinstance(tool.get(key), str)}
        bare["inputSchema"] = tool["inputSchema"]
        for form in (tool, bare):
            if not (reason := self._objection(form)):
                self._passed.append(name)
                return form
        self._refused.append(left_out(name, reason))
        return None

    def _objection(self, tool: dict[str, Any]) -> str:
        """The SDK's objection to a tool; empty if it has none."""
        if _depth(tool) > DEEPEST_SCHEMA + 1:
            return f"nests its parameters more than {DEEPEST_SCHEMA} deep"
        listing = _LISTING | {"tools": [tool]}
        try:
            parse_server_result("tools/list", self._version(), listing)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(step) for step in first["loc"] if step not in ("tools", 0))
            place = place.encode("unicode_escape").decode()  # it may contain a name from the server
            return f"does not fit the protocol ({place}: {first['msg']})"[:300]
        except ValueError as error:
            return f"does not fit the protocol ({error})"[:300]
        return ""


def left_out(name: str, reason: str) -> str:
    """The sentence for the person about a tool, after the name of its server."""
    return f"has a tool {name[:80]!r} that {reason}. That one is left out."


class _Sifted:
    """A stream whose messages each pass through a function."""

    def __init__(
        self,
        stream: ReadStream[SessionMessage | Exception],
        sift: Callable[[SessionMessage | Exception], SessionMessage | Exception],
    ) -> None:
        self._stream = stream
        self._sift = sift

    @property
    def last_context(self) -> Any:
        """An attribute that the SDK reads from a stream of HTTP."""
        return getattr(self._stream, "last_context", None)

    async def receive(self) -> SessionMessage | Exception:
        return self._sift(await self._stream.receive())

    async def aclose(self) -> None:
        await self._stream.aclose()

    def __aiter__(self) -> _Sifted:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        return self._sift(await self._stream.__anext__())

    async def __aenter__(self) -> _Sifted:
        await self._stream.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> bool | None:
        return await self._stream.__aexit__(exc_type, exc_val, exc_tb)


def _of_an_object(schema: Any) -> Any:
    """A schema of arguments with the type object, where it states no type or allows that one."""
    if not isinstance(schema, dict):
        return schema
    kind = schema.get("type")
    fits = kind is None or (isinstance(kind, list) and "object" in kind)
    return schema | {"type": "object"} if fits else schema


def _applies(schema: Any) -> bool:
    """Whether a schema of results is absent or valid: the SDK withholds results that do not fit it."""
    if schema is None:
        return True
    try:
        validator_for(schema).check_schema(schema)
    except (SchemaError, TypeError, AttributeError, ValueError, RecursionError):
        return False
    return True


def _depth(schema: Any) -> int:
    """The depth of `schema`, found without recursion."""
    deepest, rest = 0, [(schema, 1)]
    while rest:
        value, depth = rest.pop()
        deepest = max(deepest, depth)
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        rest += [(one, depth + 1) for one in inner]
    return deepest
