"""From a document to a page, by a process that may be lost."""

from __future__ import annotations

import json
from contextlib import suppress
from urllib.parse import unquote

from gptoss_tui.workers.child import ChildError
from gptoss_tui.workers.task import result_of

from .address import domain
from .backend import Document
from .bounds import CPU_SECONDS, MEMORY
from .characters import one_line
from .page import Link, Page

TIME_LIMIT = 3.0 * CPU_SECONDS  # seconds; the worker's own limit only counts its CPU time
_MOST_OUTPUT = 64 * 2**20  # bytes; several times the largest page

_NAMES = {
    "application/pdf": "a PDF document",
    "application/zip": "an archive",
    "application/gzip": "an archive",
    "image": "an image",
    "audio": "a sound recording",
    "video": "a video",
    "font": "a font",
}
# Types of text that do not begin with "text/"; those with +json and +xml are text as well.
_TEXT_TYPES = frozenset(
    f"application/{name}"
    for name in ("json", "xml", "javascript", "yaml", "x-yaml", "toml", "x-sh", "sql", "x-tex")
)


class ReadError(Exception):
    """A document cannot be shown. The message is one sentence for the model and the person."""


def refusal(document: Document) -> str | None:
    """The reason why `document` cannot be read as text, or None if it can."""
    kind = document.content_type.strip().lower()
    if document.body.startswith(b"%PDF-"):
        kind = "application/pdf"
    if kind.startswith("text/") or kind in _TEXT_TYPES or kind.endswith(("+json", "+xml")):
        if not kind.startswith("image/"):  # SVG is XML, and an image
            return None
    elif kind in ("", "application/octet-stream") and b"\0" not in document.body[:4096]:
        return None
    name = _NAMES.get(kind) or _NAMES.get(kind.split("/")[0]) or "not text"
    named = f" ({one_line(kind, 80)})" if kind else ""
    return f"It is {name}{named}, and only text can be shown here."


async def read(document: Document, *, source: bool = False) -> Page:
    """The page of `document`, or of its markup if `source`. Raises ReadError."""
    refused = refusal(document)
    if refused is not None:
        raise ReadError(refused)
    request = {
        "url": document.url,
        "content_type": document.content_type.strip().lower().removeprefix("application/octet-stream"),
        "charset": document.charset,
        "truncated": document.truncated,
        "source": source,
    }
    # ASCII only: an address may contain characters that no encoding accepts.
    given = json.dumps(request).encode() + b"\n" + document.body
    output = b""
    try:
        with suppress(TimeoutError):
            output = await result_of(
                "the page reader",
                f"{__package__}.worker",
                given=given,
                most=_MOST_OUTPUT,
                seconds=TIME_LIMIT,
            )
    except ChildError as error:
        raise ReadError(f"It could not be read: {error}.") from error
    try:
        page = json.loads(output)
    except ValueError:
        memory = f"{MEMORY >> 20} MB"
        limits = f"more than {CPU_SECONDS} s or {memory}"
        raise ReadError(f"It could not be read: its markup is broken or takes {limits}.") from None
    prefix = "view-source:" if source else ""
    file = unquote(document.url.rpartition("/")[2])
    title = page["title"] or domain(document.url) or one_line(file or document.url, 80)
    return Page(prefix + document.url, title, page["lines"], [Link(url) for url in page["links"]])
