"""`gptoss-chat export`: a conversation as Markdown or JSON."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...events.printable import printable
from ...harmony.message import Channel, Message, Role
from ...history.archive import Archive, ArchiveError, Recovered
from ...history.store import default_file
from ...history.stored import StoredSession
from ...plain.show import complain
from .formatter import count
from .markdown import as_markdown


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("id", metavar="ID", nargs="?", help="which conversation (default: the last one)")
    parser.add_argument(
        "--reasoning", action="store_true", help="with the raw reasoning, which nobody has moderated"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="as Markdown (default)")
    form.add_argument("--json", action="store_true", help="as one JSON object, every text exact")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="write to a new FILE; an old one is left alone"
    )


def run(options: Namespace) -> int:
    """Print or write the conversation; of a damaged one, the part before the damage, with a complaint."""
    try:
        recovered = Archive(default_file()).read(options.id)
    except ArchiveError as error:
        complain(str(error))
        return 1
    whole = recovered.session.with_draft()
    session = whole if options.reasoning else _without_reasoning(whole)
    left_out = len(whole.messages) - len(session.messages)
    if options.json:
        text = json.dumps(_as_json(session, left_out), indent=2) + "\n"
    else:
        text = printable(as_markdown(session, session.messages))
    return _write(text, options.output) or _report(recovered, left_out, options.output)


def is_reasoning(message: Message) -> bool:
    """True for the raw chain of thought, which calls on the analysis channel are no part of."""
    return (
        message.role is Role.ASSISTANT and message.channel is Channel.ANALYSIS and message.recipient is None
    )


def _without_reasoning(session: StoredSession) -> StoredSession:
    """The session without raw reasoning; a turn that ended in its middle ends with what came before it."""
    messages: list[Message] = []
    endings: dict[int, str] = {}
    for place, message in enumerate(session.messages, 1):
        if not is_reasoning(message):
            messages.append(message)
        if place in session.endings:
            endings[len(messages)] = session.endings[place]
    return replace(session, messages=tuple(messages), endings=endings)


def _as_json(session: StoredSession, left_out: int) -> dict[str, Any]:
    return {
        "id": session.id,
        "model": session.model,
        "date": session.date,
        "instructions": session.instructions,
        "reasoning_left_out": left_out,
        "messages": [
            _message(message, session.endings.get(place)) for place, message in enumerate(session.messages, 1)
        ],
    }


def _message(message: Message, ending: str | None) -> dict[str, Any]:
    fields = {
        "name": message.name,
        "channel": message.channel,
        "recipient": message.recipient,
        "content_type": message.content_type,
        "unmoderated": True if is_reasoning(message) else None,
        "ending": ending,
    }
    present = {key: value for key, value in fields.items() if value is not None}
    return {"role": message.role, **present, "text": message.text}


def _write(text: str, output: str | None) -> int:
    if output is None:
        sys.stdout.write(text)
        sys.stdout.flush()
        return 0
    file = Path(output).expanduser()
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        complain(f"{file} exists already and is left alone; name a new file with -o")
        return 1
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        complain(f"{file} cannot be written ({why})")
        return 1
    return 0


def _report(recovered: Recovered, left_out: int, output: str | None) -> int:
    """Say on stderr which file was written, and what could not be read; returns the exit status."""
    if output is not None:
        reasoning = (
            f" without {count(left_out, 'message')} of raw reasoning (--reasoning)" if left_out else ""
        )
        print(f"Conversation {recovered.session.id} is in {printable(output)}{reasoning}.", file=sys.stderr)
    if recovered.elsewhere:
        print(f"Left out: {count(recovered.elsewhere, 'message')} on other paths.", file=sys.stderr)
    if recovered.damage:
        complain(recovered.damage)
    return 1 if recovered.damage else 0
