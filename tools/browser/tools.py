"""browser.search, browser.open and browser.find, with the signatures gpt-oss knows, over one Browser."""

from __future__ import annotations

import asyncio
import importlib
import json
from abc import abstractmethod
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from ...kinds import Kind, address_pattern
from ...kinds.address import AddressError, read
from ..arguments import ArgumentsError
from ..tool import Output, Reach, Risk, Tool
from . import address, hops
from .arguments import parse
from .backend import BackendError, Fetch, Search
from .browser import Browser, written
from .characters import one_line
from .page_view import read_view
from .viewport import Measure, estimate

# The schemas that openai-harmony 0.0.8 describes to the model (ToolNamespaceConfig.browser).
SEARCH: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "query": {"type": "string"},
        "topn": {"type": "number", "default": 10},
        "source": {"type": "string"},
    },
    "required": ["query"],
}
OPEN: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": ["number", "string"], "default": -1},
        "cursor": {"type": "number", "default": -1},
        "loc": {"type": "number", "default": -1},
        "num_lines": {"type": "number", "default": -1},
        "view_source": {"type": "boolean", "default": False},
        "source": {"type": "string"},
    },
}
FIND: Mapping[str, Any] = {
    "type": "object",
    "properties": {"pattern": {"type": "string"}, "cursor": {"type": "number", "default": -1}},
    "required": ["pattern"],
}


class BrowserTool(Tool):
    """One of the three functions. A failure is an output for the model, and leaves the browser unchanged."""

    parameters: Mapping[str, Any]

    def __init__(self, browser: Browser, where: str = "") -> None:
        self.browser = browser
        self.where = where

    async def start(self) -> None:
        """Import the validator of arguments (0.1 s) in a thread, so that the screen does not wait."""
        await asyncio.to_thread(importlib.import_module, "jsonschema")

    async def call(self, arguments: str) -> AsyncGenerator[Output, None]:
        """Check the JSON `arguments` and yield the browser's view; see `Tool.call`."""
        try:
            output = Output(await self._run(parse(arguments, self.parameters)))
        except (ArgumentsError, BackendError) as error:
            output = Output(f"[ERROR] {error}", is_error=True)
        yield output

    async def objection(self, arguments: str) -> str | None:
        """The objection to the JSON; see `Tool.objection`."""
        try:
            parse(arguments, self.parameters)
        except ArgumentsError as error:
            return f"[ERROR] {error}"
        return None

    def recall(self, author: str, text: str) -> None:
        """Trust the addresses in the person's messages, and restore the pages of an old conversation."""
        if author == "user":
            self.browser.trust(text)
        elif author.removeprefix("functions.") == self.name and (past := read_view(author, text)) is not None:
            self.browser.recall(past)

    async def close(self) -> None:
        """Forget the pages and close the back ends, for all three functions."""
        await self.browser.close()

    def composed(self, arguments: str) -> str | None:
        """The address in these arguments that only the model has written, or None.

        Such an address can carry the model's knowledge to its server, so the person is asked about it.
        """
        return None

    @abstractmethod
    async def _run(self, given: dict[str, Any]) -> str:
        """Carry out the call with checked arguments."""


class SearchTool(BrowserTool):
    """browser.search"""

    name = "browser.search"
    description = "Searches for information related to `query` and displays `topn` results."
    # Models also write top_n, which the reference implementation accepts.
    parameters: Mapping[str, Any] = {
        **SEARCH,
        "properties": {**SEARCH["properties"], "top_n": {"type": "number"}},
    }

    async def _run(self, given: dict[str, Any]) -> str:
        return await self.browser.search(given["query"])


class OpenTool(BrowserTool):
    """browser.open"""

    name = hops.TOOL
    description = (
        "Opens the link `id` from the page indicated by `cursor` starting at line number `loc`, showing"
        " `num_lines` lines. A string `id` is a full URL; without `id` it scrolls an opened page."
    )
    parameters = OPEN
    kinds: Mapping[str, Kind] = {"id": address_pattern.covers}

    async def _run(self, given: dict[str, Any]) -> str:
        return await self.browser.open(
            _link(given),
            given.get("cursor", -1),
            _set(given.get("loc", -1), least=0),
            _set(given.get("num_lines", -1), least=1),
            source=given.get("view_source", False),
        )

    def meaning(self, arguments: str) -> str:
        """The arguments with the address that `id` connects to, however it is written; empty for none."""
        try:
            given = parse(arguments, self.parameters)
        except ArgumentsError:
            return arguments  # the call will be refused
        source = given.get("view_source", False)
        url = self.browser.destination(_link(given), given.get("cursor", -1), source=source)
        if url is None:
            return json.dumps(given)
        try:
            return json.dumps(given | {"id": url and str(read(url))})
        except AddressError:
            return json.dumps(given | {"id": url})

    def risk(self, arguments: str) -> Risk:
        """Outside for an address that the model composed, which can carry data away; see `Tool.risk`."""
        url = self.composed(arguments)
        if url is None:
            return Risk(Reach.BOUNDED, doubt=self._doubt(arguments))
        why = f"The model put this address together itself, and it can carry away what the model knows: {url}"
        return Risk(Reach.OUTSIDE, one_line(why, 2500))

    async def objection(self, arguments: str) -> str | None:
        """The objection to the JSON, to a text that is no address, or to a scheme that cannot be opened."""
        if (wrong := await super().objection(arguments)) is not None:
            return wrong
        link = parse(arguments, self.parameters).get("id")
        if not isinstance(link, str):
            return None
        try:
            url = written(link)
        except ArgumentsError as error:
            return f"[ERROR] {error}"
        shown = one_line(url, 200)
        if _scheme(url) not in self.browser.schemes:
            kinds = " and ".join(f"{scheme}://" for scheme in self.browser.schemes)
            return f"[ERROR] Only {kinds} addresses can be opened, and `{shown}` is none."
        try:
            read(url)
        except AddressError as error:
            return f"[ERROR] `{shown}` cannot be opened: {error}"
        return None

    def composed(self, arguments: str) -> str | None:
        """See `BrowserTool.composed`. An address of this machine's documents carries nothing away."""
        url = self._address(arguments)
        if url is None or self.browser.seen(url) or _scheme(url) not in ("http", "https"):
            return None
        return url

    def _doubt(self, arguments: str) -> str:
        """The doubt about a link on a page of which little but the address is known."""
        try:
            given = parse(arguments, self.parameters)
        except ArgumentsError:
            return ""  # the call will be refused
        cursor = given.get("cursor", -1)
        if self.browser.destination(_link(given), cursor) is not None:
            return ""
        page = one_line(self.browser.destination(cursor=cursor) or "", 2500)
        return f"Where this link leads is known only once its page is opened again, at {page}"

    def _address(self, arguments: str) -> str | None:
        """The address to open, if the arguments name one."""
        try:
            link = parse(arguments, self.parameters).get("id")
        except ArgumentsError:
            return None  # the call will be refused
        return address.complete(link) if isinstance(link, str) else None


class FindTool(BrowserTool):
    """browser.find"""

    name = "browser.find"
    description = "Finds exact matches of `pattern` in the current page, or the page given by `cursor`."
    parameters = FIND

    def risk(self, arguments: str) -> Risk:
        """The session alone, unless the page is of an old conversation, and fetched anew; see `Tool.risk`."""
        try:
            cursor = parse(arguments, self.parameters).get("cursor", -1)
        except ArgumentsError:
            cursor = -1  # the call will be refused
        return Risk(Reach.BOUNDED if self.browser.destination(cursor=cursor) else Reach.SESSION)

    async def _run(self, given: dict[str, Any]) -> str:
        return await self.browser.find(given["pattern"], given.get("cursor", -1))


def _link(given: Mapping[str, Any]) -> int | str | None:
    link: int | str = given.get("id", -1)
    return None if link == -1 else link


def _scheme(url: str) -> str:
    return url.partition("://")[0].lower()


def _set(number: int, least: int) -> int | None:
    return number if number >= least else None


def browser_tools(
    search: Search, fetch: Fetch, measure: Measure = estimate, *, where: str = ""
) -> list[BrowserTool]:
    """The three tools of one session. `measure` counts tokens; `where` names the place of the pages."""
    browser = Browser(search, fetch, measure)
    return [SearchTool(browser, where), OpenTool(browser, where), FindTool(browser, where)]
