"""A session of browsing: the pages shown to the model, by cursor, and the model's next steps."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from urllib.parse import quote

from ..arguments import ArgumentsError
from . import address, hops
from .backend import BackendError, Document, Fetch, Hit, Search
from .characters import one_line
from .page import Link, Page, without_links, wrapped
from .page_view import PageView
from .reader import ReadError, read
from .viewport import Measure, estimate, view

HITS = 20
"""Hits requested from the back end, whatever number the model asks for."""

MOST_MATCHES = 50
_MOST_PAST = 10_000  # cursors of a resumed conversation
LONGEST_PATTERN = 200  # characters; the time of the search grows with them
CONTEXT = 4
"""Lines shown of each match of a find, and above the match when it is opened."""

NOTHING_FOUND = "No results were found."


class Browser:
    """One conversation's browser. A call that raises ArgumentsError or BackendError leaves it unchanged.

    Each successful call takes the next cursor, counted from 0. Calls run one after the other.
    """

    def __init__(self, search: Search, fetch: Fetch, measure: Measure = estimate) -> None:
        self.pages: list[Page] = []
        """The pages by cursor."""
        self._search = search
        self._fetch = fetch
        self._measure = measure
        self._cache: dict[str, Page] = {}
        self._seen: set[str] = set()
        self._judged: str | None = None  # the address by which the running call was judged
        self._turn = asyncio.Lock()

    async def search(self, query: str) -> str:
        """Search; returns the hits as a page of links."""
        async with self._turn:
            words = one_line(query, 1000)
            if not words:
                raise ArgumentsError("`query` is empty.")
            try:
                hits = await self._search.search(words, HITS)
            except BackendError as error:
                raise BackendError(f"Error during search for `{words[:200]}`: {error}") from error
            return await self._show(_results(words, hits[:HITS]))

    async def open(
        self,
        link: int | str | None = None,
        cursor: int = -1,
        loc: int | None = None,
        num_lines: int | None = None,
        *,
        source: bool = False,
    ) -> str:
        """Follow the link of that number on the page `cursor`, or open an address, or scroll the page.

        An address is fetched anew; the page of a link comes from this session if it is there. `loc` is the
        first line shown, `num_lines` the number of lines; `source` shows the markup.
        """
        async with self._turn:
            self._judged = self.destination(link, cursor, source=source)
            if isinstance(link, str):
                page = await self._fetched(written(link), source)
                return await self._show(page, loc or 0, num_lines)
            page = await self._page(cursor)
            if link is None:
                if source:
                    page = await self._source(page)
                return await self._show(page, loc or 0, num_lines)
            target = self._target(page, link)
            if target.line is not None and page.found_in is not None:
                page = page.found_in
                if source:
                    page = await self._source(page)
                elif loc is None:
                    loc = target.line - CONTEXT if target.line > CONTEXT else target.line
            else:
                cached = self._cache.get(target.url) if not source else None
                page = cached or await self._fetched(target.url, source)
            return await self._show(page, loc or 0, num_lines)

    async def find(self, pattern: str, cursor: int = -1) -> str:
        """Look for `pattern` in the page `cursor`; returns the matches as a page of links."""
        async with self._turn:
            self._judged = None
            page = await self._page(cursor)
            if page.is_search or page.found_in is not None:
                told = "`find` looks through opened pages, not through results. Open a page first."
                raise ArgumentsError(told)
            if not pattern.strip():
                raise ArgumentsError("`pattern` is empty.")
            if len(pattern) > LONGEST_PATTERN:
                raise ArgumentsError(f"`pattern` is longer than {LONGEST_PATTERN} characters.")
            return await self._show(_matches(page, pattern))

    @property
    def schemes(self) -> Sequence[str]:
        """The schemes of addresses that can be opened."""
        return self._fetch.schemes

    def recall(self, past: PageView) -> None:
        """Restore a page from before the conversation was resumed; it keeps its cursor, and new ones follow.

        Its contents are fetched again when the model returns to it; results of a search are not.
        """
        missing = past.cursor + 1 - len(self.pages)
        if missing > _MOST_PAST:
            return
        self.pages += [Page("", "", [""], past=True)] * missing
        url = past.url if past.url == past.origin else ""
        self.pages[past.cursor] = Page(url, past.title, [""], past=True)
        if past.origin:
            self._seen.add(address.canonical(past.origin))

    def trust(self, text: str) -> None:
        """Count the addresses in `text`, which the person wrote, as seen."""
        self._seen.update(map(address.canonical, address.within(text)))

    def seen(self, url: str) -> bool:
        """Whether `url` came from a search, a page or the person; otherwise the model composed it."""
        return address.canonical(url) in self._seen

    def destination(
        self, link: int | str | None = None, cursor: int = -1, *, source: bool = False
    ) -> str | None:
        """The address that `open` would connect to; empty for none, None where it is unknown.

        The links of a page from before the conversation was resumed are unknown.
        """
        if isinstance(link, str):
            return address.complete(link) or (link if "://" in link else "")
        if not (self.pages and -1 <= cursor < len(self.pages)):
            return ""
        page = self.pages[cursor]
        if page.past and link is not None and not page.is_search:
            return None
        if link is not None:
            url = page.links[link].url if 0 <= link < len(page.links) else ""
        else:
            url = page.url if page.past or source else ""
        return url.removeprefix("view-source:")

    def forget(self) -> None:
        """Start again without pages."""
        self.pages.clear()
        self._cache.clear()
        self._seen.clear()

    async def close(self) -> None:
        """Forget the session, and close the back ends."""
        self.forget()
        await self._search.close()
        await self._fetch.close()

    async def _page(self, cursor: int) -> Page:
        if not self.pages:
            raise ArgumentsError("There are no pages yet: search first, or open a URL.")
        if not -1 <= cursor < len(self.pages):
            cursors = f"[0 - {len(self.pages) - 1}]"
            raise ArgumentsError(f"Cursor `{cursor}` is out of range. Available cursors: {cursors}.")
        page = self.pages[cursor]
        if page.past and page.is_search:
            raise ArgumentsError(f"The results at cursor `{cursor}` are from long ago. Search again.")
        if page.past:
            page = self.pages[cursor] = await self._fetched(page.url, source=False)
        return page

    def _target(self, page: Page, link: int) -> Link:
        if 0 <= link < len(page.links):
            return page.links[link]
        ids = f"Valid link ids: [0 - {len(page.links) - 1}]" if page.links else "It has no links"
        raise ArgumentsError(f"Invalid link id `{link}` on page `{one_line(page.title, 100)}`. {ids}.")

    async def _source(self, page: Page) -> Page:
        if page.is_search or page.found_in is not None:
            raise ArgumentsError("A page of results has no source.")
        return await self._fetched(page.url.removeprefix("view-source:"), source=True)

    async def _fetched(self, url: str, source: bool) -> Page:
        try:
            if url != self._judged:
                hops.check(url)
            document: Document = await self._fetch.fetch(url)
            page = await read(document, source=source)
        except (BackendError, ReadError) as error:
            if isinstance(error, hops.NotFollowedError):
                self._seen.add(address.canonical(error.url))  # a page, not the model, named it
            raise BackendError(f"Error fetching URL `{one_line(url, 200)}`: {error}") from error
        if not source:
            self._cache[url] = self._cache[page.url] = page
        return page

    async def _show(self, page: Page, loc: int = 0, num_lines: int | None = None) -> str:
        if loc >= len(page.lines):
            last = len(page.lines) - 1
            raise ArgumentsError(f"Invalid location `{loc}`: the lines of this page are [0 - {last}].")
        text = await view(page, len(self.pages), loc, num_lines, self._measure)
        self.pages.append(page)
        self._seen.update(address.canonical(link.url) for link in page.links)
        self._seen.add(address.canonical(page.url))
        return text


def written(link: str) -> str:
    """The full address for the model's `link`; raises ArgumentsError if it can be none."""
    url = address.complete(link)
    if url is None:
        what = "the number of a link, shown as 【id†…】, or a full URL"
        raise ArgumentsError(f"`id` must be {what}, and `{one_line(link, 100)}` is neither.")
    return url


def _results(query: str, hits: Sequence[Hit]) -> Page:
    lines, links = ["", "URL: ", "# Search Results", ""], list[Link]()
    for hit in hits:
        url = address.join(hit.url, hit.url)
        if url is None:
            continue
        host = address.domain(url)
        title = one_line(hit.title, 200).replace("†", "‡") or host or url
        mark = f"【{len(links)}†{title}†{host}】" if host else f"【{len(links)}†{title}】"
        lines += wrapped(f"  * {mark} {one_line(hit.snippet, 400)}".rstrip())
        links.append(Link(url))
    return Page("", query.rstrip(")") or "?", lines if links else [*lines, NOTHING_FOUND], links)


def _matches(page: Page, pattern: str) -> Page:
    """The page of a find. Any whitespace of the pattern may match the end of a line."""
    lines = without_links(page.lines)
    text = "\n".join(lines)
    words = [re.escape(word) for word in pattern.split()]
    found: list[str] = []
    links: list[Link] = []
    counted = line = 0
    for match in re.finditer(r"\s+".join(words), text, re.IGNORECASE):
        line += text.count("\n", counted, match.start())
        counted = match.start()
        if links and line < (links[-1].line or 0) + CONTEXT:
            continue  # shown already
        found += [f"# 【{len(links)}†match at L{line}】", *lines[line : line + CONTEXT], ""]
        links.append(Link(page.url, line))
        if len(links) == MOST_MATCHES:
            break
    shown = one_line(pattern, 200)
    return Page(
        url=f"{page.url}/find?pattern={quote(shown)}",
        title=f"Find results for text: `{shown}` in `{page.title}`",
        lines=found[:-1] or wrapped(f"No `find` results for pattern: `{shown}`"),
        links=links,
        found_in=page,
    )
