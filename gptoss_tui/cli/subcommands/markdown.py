"""A conversation as a Markdown document, in which no text can pretend to be another part of it.

What the person said is quoted, and the reasoning under a label; calls and outputs are fenced. The answer is
Markdown itself and stands as it is, unless something in it would reach beyond it: then it is quoted as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from ...agent.citations import linked, pages_of
from ...events.printable import printable
from ...harmony.message import Channel, Message, Role
from ...history.store import StoredSession
from ...tools.browser.citations import ShownPages

_FENCE = re.compile(r"( {0,3})(`{3,}|~{3,})(.*)")
_REACHES_OUT = re.compile(r" {0,3}(?:<|##?(?:\s|$))")
_UNDERLINE = re.compile(r" {0,3}(?:=+|-+)\s*")


def as_markdown(session: StoredSession, messages: Iterable[Message]) -> str:
    """The document: a title, then a section for each message, calls and their outputs without one."""
    date = f", {session.date}" if session.date else ""
    pages = pages_of(session.messages)
    messages = [replace(message, text=_safe(_cited(message, pages))) for message in messages]
    parts = [f"# Conversation {session.id}", f"With `{session.model.replace('`', '')}`{date}."]
    if session.instructions:
        parts += ["## Instructions", quoted(_safe(session.instructions))]
    speaker = ""
    for message in messages:
        if message.role is Role.TOOL:
            parts += [f"Output of `{_name(message.name)}`:", fenced(message.text)]
            continue
        heading = "## You" if message.role is Role.USER else "## Assistant"
        if heading != speaker or message.role is Role.USER:
            parts.append(heading)
            speaker = heading
        parts += _part(message)
    return "\n\n".join(parts) + "\n"


def _cited(message: Message, pages: ShownPages) -> str:
    is_answer = message.role is Role.ASSISTANT and message.channel is Channel.FINAL
    return linked(message.text, pages) if is_answer else message.text


def _part(message: Message) -> list[str]:
    match message:
        case Message(role=Role.USER, text=text):
            return [quoted(text)]
        case Message(recipient=str(recipient), text=text):
            language = "python" if recipient == "python" else "json" if _is_json(message) else ""
            return [f"Call of `{_name(recipient)}`:", fenced(text, language)]
        case Message(channel=Channel.ANALYSIS, text=text):
            return ["**Raw reasoning, unmoderated:**", quoted(text)]
        case Message(text=text):
            return [text.strip("\n") if stands_alone(text) else quoted(text)]


def quoted(text: str) -> str:
    """`text` as a quotation: whatever is left open inside ends with it."""
    return "\n".join(f"> {line}".rstrip(" ") for line in _lines(text))


def fenced(text: str, language: str = "") -> str:
    """`text` as a code block, whose fence is longer than any run of backticks inside."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return "\n".join([fence + language, *_lines(text), fence])


def stands_alone(text: str) -> bool:
    """True when `text`, put into a document, surely ends where it ends and has no heading of our levels.

    Careful rather than complete: only fences at the margin are followed, and of HTML there may be none.
    """
    fence = ""
    previous = ""
    for line in _lines(text):
        mark = _FENCE.fullmatch(line)
        if fence:
            if mark and mark[2].startswith(fence) and not mark[3].strip():
                fence = ""
        elif mark:
            if mark[1] or "`" in mark[3]:
                return False
            fence = mark[2]
        elif _REACHES_OUT.match(line) or (previous.strip() and _UNDERLINE.fullmatch(line)):
            return False
        previous = line
    return not fence


def _safe(text: str) -> str:
    return printable(text.replace("\r\n", "\n").replace("\r", "\n"))


def _lines(text: str) -> list[str]:
    return text.strip("\n").split("\n")


def _name(name: str | None) -> str:
    return re.sub(r"[`\s]+", "_", name or "tool")[:200]


def _is_json(message: Message) -> bool:
    return (message.content_type or "").endswith("json")
