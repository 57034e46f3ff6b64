"""`gptoss-chat sessions`: the list of the conversations on disk, the last used first."""

from __future__ import annotations

import json
import shutil
import sys
from argparse import ArgumentParser, Namespace
from datetime import datetime
from pathlib import Path

from ...events.endings import Ending
from ...events.printable import printable
from ...history.archive import Archive, ArchiveError, Summary
from ...history.store import default_file
from ...plain.show import complain

_PIPE_WIDTH = 120
_LEAST_WORDS = 20


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--json", action="store_true", help="print each as a line of JSON")


def run(options: Namespace) -> int:
    """Print the list; returns the exit status, which is 0 for an empty list."""
    try:
        summaries, damage = Archive(default_file()).summaries()
    except ArchiveError as error:
        complain(str(error))
        return 1
    if options.json:
        for summary in summaries:
            print(json.dumps(_as_json(summary)))
    elif summaries:
        _print_table(summaries)
    else:
        print("No conversation is kept yet. Start one with `gptoss-chat`.")
    if damage:
        complain(damage)
    return 1 if damage else 0


def _as_json(summary: Summary) -> dict[str, str | int]:
    return {
        "id": summary.id,
        "touched": _last_used(summary).isoformat(timespec="seconds"),
        "model": summary.model,
        "messages": summary.messages,
        "said": summary.question,
        **({"ending": summary.ending} if summary.ending else {}),
    }


def _print_table(summaries: list[Summary]) -> None:
    head = ("ID", "LAST USED", "MODEL", "MESSAGES")
    rows = [
        (each.id, f"{_last_used(each):%Y-%m-%d %H:%M}", Path(each.model).name, str(each.messages))
        for each in summaries
    ]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else _PIPE_WIDTH
    room = max(_LEAST_WORDS, columns - sum(widths) - 2 * len(widths))
    questions = ("SAID FIRST", *(_said(each) for each in summaries))
    for row, question in zip((head, *rows), questions, strict=True):
        words = " ".join(question.split())
        excerpt = words if len(words) <= room else words[: room - 1] + "…"
        cells = [cell.ljust(width) for cell, width in zip(row[:3], widths, strict=False)]
        print(printable("  ".join((*cells, row[3].rjust(widths[3]), excerpt))))


def _said(summary: Summary) -> str:
    """The first words; before them, that the last answer is not whole."""
    return f"[interrupted] {summary.question}" if summary.ending == Ending.UNFINISHED else summary.question


def _last_used(summary: Summary) -> datetime:
    return datetime.fromtimestamp(summary.touched).astimezone()
