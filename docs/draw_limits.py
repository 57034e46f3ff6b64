"""Draw docs/limits.md: every limit that a person can meet, with the numbers that the code has today.

Run by `make limits`. A test compares the document with what is drawn, so that it cannot go stale.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from gptoss_tui.agent import context as shown
from gptoss_tui.agent import repetition as loops
from gptoss_tui.agent import response_format, room, turn
from gptoss_tui.agent.filters.function import FunctionFilter
from gptoss_tui.agent.filters.judge import Judge
from gptoss_tui.calls import call, sources
from gptoss_tui.calls import output as collected
from gptoss_tui.harmony import schema as told_schema
from gptoss_tui.model.checkpoint import checkpoint_at
from gptoss_tui.model.config import GPT_OSS_20B
from gptoss_tui.model.constraint import schema as enforced_schema
from gptoss_tui.model.demo import checkpoint_path
from gptoss_tui.model.engine import worker
from gptoss_tui.settings import Settings
from gptoss_tui.tools import excerpt
from gptoss_tui.tools.browser import bounds, indexer, lines
from gptoss_tui.tools.browser.network import web
from gptoss_tui.tools.browser.services import service
from gptoss_tui.tools.functions import load, process
from gptoss_tui.tools.mcp import listing, server, server_config, sieve, stdio
from gptoss_tui.tools.python import cell, console, kernel
from gptoss_tui.tools.python import tool as python
from gptoss_tui.tools.sandbox import limits as sandbox
from gptoss_tui.tui import log
from gptoss_tui.tui.pictures import reader as picture_reader
from gptoss_tui.tui.pictures import worker as picture_worker
from gptoss_tui.tui.screens import player
from gptoss_tui.tui.widgets import composer, user_message
from gptoss_tui.workers import log as workers_log

DOCUMENT = Path(__file__).with_name("limits.md")

HEAD = """\
# Limits

Whatever can grow has a bound, so that nothing a model, a page or a server does can fill the memory, the disk
or the screen. This page names the bounds that you can meet, what happens there, and which setting moves them;
where none is named, the number is fixed. It is drawn from the code by `make limits`. MB and GB are powers of
ten, MiB and GiB of two.
"""


class Limit(NamedTuple):
    """One row: of what, how much, what happens beyond it, and the setting that changes it."""

    of: str
    most: str
    beyond: str
    setting: str = ""


def groups() -> dict[str, list[Limit]]:
    """The limits by the heading they stand under."""
    return {
        "What you write": _written(),
        "A conversation": _conversation(),
        "Answers as JSON": _structured(),
        "Calls of tools": _calls(),
        "The model's Python": _python(),
        "The browser": _browser(),
        "Functions and MCP servers": _own(),
        "Pictures, files and logs": _files(),
    }


def drawn() -> str:
    """The whole document."""
    return "\n".join([HEAD, *(line for group in groups().items() for line in _table(*group))])


def _written() -> list[Limit]:
    return [
        Limit(
            "a message, by a paste",
            _count(composer._MOST_CHARACTERS, "characters"),
            "the paste is refused, with both numbers; a file is taken by `-p QUESTION < FILE`",
        ),
        Limit(
            "a message of yours, as it is shown",
            _count(user_message._MOST_CHARACTERS, "characters"),
            "the rest is not shown, and the model is given all of it",
        ),
    ]


def _conversation() -> list[Limit]:
    demo = checkpoint_at(checkpoint_path())
    context = f"{GPT_OSS_20B.max_position_embeddings:,} tokens for gpt-oss"
    return [
        Limit(
            "what the model is shown of a conversation at once",
            f"what the checkpoint was made for: {context}",
            "old outputs are shortened and the oldest turns summed up or left out, visibly; none is removed",
            "`context`, to make it smaller; `context_full`",
        ),
        Limit(
            "of that, what is kept free for an answer",
            f"the least of a quarter, {shown.MOST_ANSWER:,} tokens, and what the model may write at one go",
            "a message that cannot fit beside it is refused with the numbers, and stays in the composer",
            "`max_tokens`",
        ),
        Limit(
            "a summary of earlier turns",
            f"an eighth of the context, and {room.MOST_SUMMARY:,} tokens",
            "it ends there",
        ),
        Limit(
            "what the model writes at one go",
            f"what the checkpoint states, if anything: {demo.longest_answer} tokens for the demo model",
            "the answer is cut off (`max_output_tokens`)",
            "`max_tokens`",
        ),
        Limit(
            "the reasoning of one turn",
            "no bound of its own",
            "it is closed, and the model answers with what it has",
            "`max_reasoning_tokens`",
        ),
        Limit(
            "a passage that comes again and again, word by word",
            f"{_repeated(loops.REASONING)} in reasoning, {_repeated(loops.SPEECH)} in answers and calls; "
            "less where an answer is short",
            "reasoning is closed, and the model answers; else the turn ends (`repetition`)",
        ),
        Limit(
            "earlier turns on the screen, in a conversation taken up again",
            _count(player._PAST_TURNS, "turns"),
            "older ones are not shown; the model has them, and `gptoss-chat export` shows all",
        ),
        Limit(
            "what is read ahead between turns",
            _count(worker.MOST_AHEAD, "tokens"),
            "the rest is read with your message",
            "`read_ahead`, to read nothing",
        ),
        Limit(
            "the time of a reasoning filter for one passage",
            f"{_default(FunctionFilter, 'patience'):g} s for a function, "
            f"{_default(Judge, 'patience'):g} s for a model",
            "the passage is withheld, and the filter is not asked again in that turn",
        ),
    ]


def _structured() -> list[Limit]:
    return [
        Limit(
            "the file of `schema`",
            f"{_size(response_format.LARGEST)}, {enforced_schema.DEEPEST} schemas within each other",
            "refused before the model is loaded, exit status 2",
        ),
    ]


def _calls() -> list[Limit]:
    return [
        Limit(
            "calls in one turn",
            _count(Settings().max_tool_calls, "calls"),
            "you are asked whether it goes on; with `-p` it stops (`tool_limit`)",
            "`max_tool_calls`",
        ),
        Limit(
            "equal calls with equal results, one after the other",
            _count(turn.MOST_EQUAL, "calls"),
            "the same",
        ),
        Limit(
            "an output, as the model is told",
            f"{collected.LONGEST_OUTPUT:,} characters, and a quarter of the context",
            "its beginning and its end are told; the whole is kept in `outputs/`, and the card says where",
        ),
        Limit(
            "an output, as it is kept and as it comes",
            f"{collected.LONGEST_FILE:,} and {call.MOST_OUTPUT:,} characters",
            "the file ends there; the call is stopped",
        ),
        Limit(
            "what the model is told of one function or server's tool, and of all",
            f"{sources.LONGEST_TOOL:,} and {sources.LONGEST_IN_ALL:,} characters",
            "tools beyond it are left out by name; `/tools` says why",
        ),
        Limit(
            "the schema of a tool's arguments, as the model is told",
            f"{told_schema.MAX_DEPTH} levels, {told_schema.MAX_SHAPES:,} parts",
            "what lies deeper is told as `any`; arguments are checked against all of it",
        ),
    ]


def _python() -> list[Limit]:
    return [
        Limit(
            "the time of one call",
            f"{python.TIME_LIMIT:g} s",
            f"it is interrupted, and after {cell.GRACE:g} s more Python is ended and its variables lost",
        ),
        Limit("the start of Python", f"{kernel.START_LIMIT:g} s", "an error; `python.log` has the reason"),
        Limit(
            "memory, of one process and of all together",
            f"{_size(sandbox.ADDRESS_SPACE)} and {_size(sandbox.MEMORY)}",
            "`MemoryError`; Python is ended",
        ),
        Limit(
            "processes and threads",
            _count(sandbox.TASKS, "at once"),
            "no more can be started, or Python is ended",
        ),
        Limit("one file", _size(sandbox.FILE), "“File too large”"),
        Limit(
            "the folder of its files",
            f"{_size(sandbox.WORKSPACE)}, {sandbox.FILES:,} files",
            "Python is ended, the files stay; what is over it already may grow by a tenth",
        ),
        Limit(
            "`/tmp` and `/dev/shm`",
            f"{_size(sandbox.TEMPORARY)} and {_size(sandbox.SHARED_MEMORY)}",
            "“No space left on device”; as folders on disk they count like its folder",
        ),
        Limit(
            "what stays free on the disk",
            f"{_size(sandbox.FREE_DISK)}, or half of what was free",
            "Python is ended, whoever filled the disk",
        ),
        Limit(
            "what a call prints",
            f"{console.FLOOD:,} characters, of which {excerpt.LIMIT:,} are kept",
            "the call is interrupted; of what is kept, the middle is left out",
        ),
    ]


def _browser() -> list[Limit]:
    return [
        Limit("the time for one page, redirects and all", f"{web.TIME_LIMIT:g} s", "the model is told so"),
        Limit("redirects", str(web.MOST_REDIRECTS), "the page is not opened, and the model is told so"),
        Limit("a page, after it is decompressed", _size(web.LARGEST), "its beginning is read"),
        Limit("a file in the folder of `documents`", _size(indexer.LARGEST), "its beginning is read"),
        Limit(
            "the text and the links of a page",
            f"{lines.LONGEST_TEXT:,} characters, {lines.MOST_LINKS:,} links",
            "the text ends there; further links are text",
        ),
        Limit(
            "reading a page",
            f"{bounds.CPU_SECONDS} s of processor time, {_size(bounds.MEMORY)}",
            "the page cannot be read, and the model is told so",
        ),
        Limit("a search, at a service", f"{service.TIME_LIMIT:g} s, twice", "the model is told so"),
    ]


def _own() -> list[Limit]:
    return [
        Limit(
            "the time of one call, of a function and of a server's tool",
            f"{load.TIME_LIMIT:g} s and {server.TIME_LIMIT:g} s",
            "the call is ended, and the model is told so",
        ),
        Limit(
            "the import of a file of functions",
            f"{process.IMPORT_LIMIT:g} s",
            "its functions are left out, and you are told; everything else works",
        ),
        Limit(
            "the start of a server",
            f"{server_config.START_LIMIT:g} s",
            "you are told, with its log; the other servers go on",
            "`startup_timeout_sec` of its entry",
        ),
        Limit(
            "new starts of a server that ended",
            str(server.MOST_RESTARTS),
            "its tools answer with an error until the next chat",
        ),
        Limit("tools of a server", str(listing.MOST_TOOLS), "the rest is left out, and you are told"),
        Limit(
            "the schema of a server's tool",
            f"{listing.LONGEST_SCHEMA:,} characters, {sieve.DEEPEST_SCHEMA} levels",
            "the tool is left out by name, with the reason",
        ),
        Limit(
            "one message of a server",
            _size(stdio.LONGEST_LINE),
            "the server is not listened to any further; the model is told so",
        ),
    ]


def _files() -> list[Limit]:
    return [
        Limit(
            "the file of a picture",
            f"{_size(picture_worker.MOST_BYTES)}, {picture_worker.MOST_PIXELS // 10**6} million pixels",
            "it is not shown, and the card says why; the file stays",
        ),
        Limit(
            "a picture, as it is shown", _count(picture_reader.LARGEST, "pixels a side"), "it is scaled down"
        ),
        Limit(
            "all outputs that are kept whole",
            _size(collected.OutputFolder(Path()).limit),
            "the oldest are deleted",
        ),
        Limit(
            "what is kept of the beginnings of prompts",
            _size(Settings().snapshots * 10**6),
            "what was used longest ago is deleted",
            "`snapshots`",
        ),
        Limit(
            "`screen.log`, and any other log",
            f"{_size(log.LARGEST)} and {_size(workers_log.LARGEST)} a file",
            f"it begins anew, any other at the next start; {workers_log.KEPT} files of each are kept",
        ),
    ]


def _table(heading: str, limits: list[Limit]) -> Iterator[str]:
    yield f"## {heading}"
    yield ""
    yield "| of | at most | beyond it | setting |"
    yield "| --- | --- | --- | --- |"
    for limit in limits:
        yield f"| {limit.of} | {limit.most} | {limit.beyond} | {limit.setting} |"
    yield ""


def _repeated(limits: loops.Limits) -> str:
    return f"{limits.copies} times and {limits.run:,} tokens"


def _count(number: int, unit: str) -> str:
    return f"{number:,} {unit}"


def _size(count: int) -> str:
    """Bytes in the unit in which they are whole."""
    for unit, size in {"GiB": 2**30, "MiB": 2**20, "GB": 10**9, "MB": 10**6, "KB": 10**3}.items():
        if count % size == 0:
            return f"{count // size:,} {unit}"
    return f"{count:,} bytes"


def _default(function: Callable[..., object], parameter: str) -> float:
    """The default of a parameter that is a number of seconds."""
    return float(inspect.signature(function).parameters[parameter].default)


if __name__ == "__main__":
    DOCUMENT.write_text(drawn(), "utf-8")
