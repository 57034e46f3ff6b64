"""`gptoss-chat sessions`: the conversations that are kept, the last one first."""

from __future__ import annotations

import json
import shutil
import sys
from argparse import ArgumentParser, Namespace
from datetime import datetime
from pathlib import Path

from ...events.printable import printable
from ...history.archive import Archive, ArchiveError, Summary
from ...history.store import default_file
from ...plain.show import complain

_PIPE_WIDTH = 120
_LEAST_WORDS = 20


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--json", action="store_true", help="print each as a line of JSON")


def run(given: Namespace) -> int:
    """Print the list; an empty one is no failure."""
    try:
        summaries, damage = Archive(default_file()).summaries()
    except ArchiveError as error:
        complain(str(error))
        return 1
    if given.json:
        for one in summaries:
            print(json.dumps(_as_json(one)))
    elif summaries:
        _print_table(summaries)
    else:
        print("No conversation is kept yet. Start one with `gptoss-chat`.")
    if damage:
        complain(f"the list ends early: {damage}")
    return 1 if damage else 0


def _as_json(one: Summary) -> dict[str, str | int]:
    return {
        "id": one.id,
        "touched": _when(one).isoformat(timespec="seconds"),
        "model": one.model,
        "messages": one.messages,
        "said": one.said,
    }


def _print_table(summaries: list[Summary]) -> None:
    head = ("ID", "LAST USED", "MODEL", "MESSAGES")
    rows = [
        (one.id, f"{_when(one):%Y-%m-%d %H:%M}", Path(one.model).name, str(one.messages)) for one in summaries
    ]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _PIPE_WIDTH
    room = max(_LEAST_WORDS, width - sum(widths) - 2 * len(widths))
    for row, said in zip((head, *rows), ("SAID FIRST", *(one.said for one in summaries)), strict=True):
        words = " ".join(said.split())
        shown = words if len(words) <= room else words[: room - 1] + "…"
        cells = [cell.ljust(wide) for cell, wide in zip(row[:3], widths, strict=False)]
        print(printable("  ".join((*cells, row[3].rjust(widths[3]), shown))))


def _when(one: Summary) -> datetime:
    return datetime.fromtimestamp(one.touched).astimezone()
