"""The process that reads one page: `python -P -m gptoss_tui.tools.browser.worker`.

Standard input: one line of JSON with `url`, `content_type`, `charset`, `truncated` and `source` (true to show
the markup itself), then the page's bytes. Standard output: JSON with `title`, `lines` and `links`. It is a
process of its own, for one page, because hostile markup can cost any amount of time and memory.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from gptoss_tui.workers.limits import limit
from gptoss_tui.workers.parent import end_with_parent

from .bounds import CPU_SECONDS, MEMORY
from .characters import decoded, visible
from .lines import LONGEST_TEXT
from .page import wrapped
from .walker import TOO_LONG, Walk, walk

EMPTY = "(This page has no text.)"
CUT = "[The page is cut here: it is longer than what is fetched of a page.]"


def read(request: dict[str, Any], body: bytes) -> dict[str, Any]:
    """The page's title, its lines and the targets of its links."""
    kind, url = request["content_type"], request["url"]
    html = is_html(kind, body)
    text = decoded(body, request["charset"], html=html)
    if request["source"]:
        said = plain(text)
    elif html:
        said = walk(text, url)
    elif kind == "application/json" or kind.endswith("+json"):
        said = plain(indented(text))
    else:
        said = plain(text)
    note = f"\n\n{CUT}" if request["truncated"] else ""
    # The first two lines of every page: an empty one, and its address.
    lines = wrapped(f"\nURL: {visible(url)}\n{said.text or EMPTY}{note}")
    return {"title": said.title, "lines": lines, "links": said.links}


def is_html(kind: str, body: bytes) -> bool:
    """Whether to read the page as HTML; a page without a type is judged by its beginning."""
    if kind:
        return kind in ("text/html", "application/xhtml+xml")
    return body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<"


def plain(text: str) -> Walk:
    """Plain text, as it is."""
    text = visible(text)
    cut = f"{text[:LONGEST_TEXT]}\n\n{TOO_LONG}" if len(text) > LONGEST_TEXT else text
    return Walk("", cut.strip("\n"))


def indented(text: str) -> str:
    """JSON with indentation, or the text itself if it is no JSON."""
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


def main() -> None:
    end_with_parent()
    limit(memory=MEMORY, cpu_seconds=CPU_SECONDS)
    request = json.loads(sys.stdin.buffer.readline())
    page = read(request, sys.stdin.buffer.read())
    sys.stdout.buffer.write(json.dumps(page).encode())


if __name__ == "__main__":
    main()
