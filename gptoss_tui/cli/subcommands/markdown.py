"""A conversation as a Markdown document, in which no message can pretend to be another part of the document.

Messages of the person are quoted, and so is the reasoning, under a label; calls and outputs are fenced. An
answer is Markdown itself and stays unchanged, unless some of it could affect what follows: then it is quoted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from ...agent.citations import linked, pages_of
from ...events.endings import ending_of
from ...events.printable import printable
from ...harmony.message import Channel, Message, Role
from ...history.stored import StoredSession
from ...tools.browser.citations import ShownPages

_FENCE = re.compile(r"( {0,3})(`{3,}|~{3,})(.*)")
_REACHES_OUT = re.compile(r" {0,3}(?:<|##?(?:\s|$))")
_UNDERLINE = re.compile(r" {0,3}(?:=+|-+)\s*")


def as_markdown(session: StoredSession, messages: Iterable[Message]) -> str:
    """The document: a title, then a section for each speaker, with calls and their outputs inside."""
    date = f", {session.date}" if session.date else ""
    pages = pages_of(session.messages)
    parts = [f"# Conversation {session.id}", f"With `{session.model.replace('`', '')}`{date}."]
    if session.instructions:
        parts += ["## Instructions", quoted(_safe(session.instructions))]
    speaker = ""
    for place, said in enumerate(messages, 1):
        message = replace(said, text=_safe(_cited(said, pages)))
        heading = "## You" if message.role is Role.USER else "## Assistant"
        if message.role is not Role.TOOL and (heading != speaker or message.role is Role.USER):
            parts.append(heading)
            speaker = heading
        parts += _part(message)
        if ending := ending_of(session.endings.get(place, "")):
            parts.append(f"*{ending.sentence}*")
    return "\n\n".join(parts) + "\n"


def _cited(message: Message, pages: ShownPages) -> str:
    is_answer = message.role is Role.ASSISTANT and message.channel is Channel.FINAL
    return linked(message.text, pages) if is_answer else message.text


def _part(message: Message) -> list[str]:
    match message:
        case Message(role=Role.USER, text=text):
            return [quoted(text)]
        case Message(role=Role.TOOL, name=name, text=text):
            return [f"Output of `{_name(name)}`:", fenced(text)]
        case Message(recipient=str(recipient), text=text):
            language = "python" if recipient == "python" else "json" if _is_json(message) else ""
            return [f"Call of `{_name(recipient)}`:", fenced(text, language)]
        case Message(channel=Channel.ANALYSIS, text=text):
            return ["**Raw reasoning, unmoderated:**", quoted(text)]
        case Message(text=text):
            return [text.strip("\n") if stands_alone(text) else quoted(text)]


def quoted(text: str) -> str:
    """`text` as a quotation: a block that is open inside ends with the quotation."""
    return "\n".join(f"> {line}".rstrip(" ") for line in _lines(text))


def fenced(text: str, language: str = "") -> str:
    """`text` as a code block, whose fence is longer than any run of backticks inside."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return "\n".join([fence + language, *_lines(text), fence])


def stands_alone(text: str) -> bool:
    """True when all blocks of `text` surely end with it, and it has no heading of the document's own levels.

    The check is strict rather than complete: it follows only fences at the margin, and accepts no HTML.
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
