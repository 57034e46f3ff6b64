"""`gptoss-chat tokens`: a conversation as the model sees it, token by token. Only the tokenizer is loaded."""

from __future__ import annotations

import json
import os
import shutil
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from math import isfinite

from ...agent.chat import ChatError
from ...harmony.render import render
from ...harmony.vocabulary import Tokenizer
from ...history.archive import Archive, ArchiveError
from ...history.sampled import Sampled
from ...history.store import default_file
from ...model.checkpoint import open_checkpoint
from ...model.errors import CheckpointError
from ...plain.show import complain
from ...settings import KEYS, SettingsError, read_settings
from .anatomy import dissect
from .held import Held, begin, take_up
from .listing import read_samples, rendered_lines, sampled_lines
from .page import Page

_PIPE_WIDTH = 100


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("id", metavar="ID", nargs="?", help="which conversation (default: the last one)")
    parser.add_argument(
        "-p", "--prompt", metavar="TEXT", help="a new conversation with this question instead"
    )
    parser.add_argument(
        "--sampled", action="store_true", help="what the model itself wrote, raw, and how it was read"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--ids", action="store_true", help="only the ids, with commas")
    form.add_argument("--json", action="store_true", help="every token as a line of JSON")
    parser.add_argument(
        "--color", choices=("auto", "always", "never"), default="auto", help="colours (in a terminal only)"
    )
    told = parser.add_argument_group("what the model is told (default: as the conversation was held)")
    told.add_argument("-m", "--model", metavar="MODEL", help="whose tokenizer")
    told.add_argument("-e", "--effort", metavar="EFFORT", help="low, medium, high")
    told.add_argument("--instructions", metavar="TEXT|@FILE", help="the developer's instructions")
    told.add_argument("--tools", metavar="LIST", help="tools by name, or none")
    told.add_argument("--functions", metavar="FILE.py", action="append", help="functions on offer")
    told.add_argument("--schema", metavar="FILE.json", help="the shape of the answer")


def run(given: Namespace) -> int:
    """Print the tokens; raises SettingsError for wrong usage."""
    flags = {key: value for key, value in vars(given).items() if key in KEYS and value is not None}
    settings = read_settings(flags, os.environ)
    if given.prompt is not None and (given.id is not None or given.sampled):
        raise SettingsError("-p begins a new conversation: it takes neither ID nor --sampled")
    try:
        if given.prompt is not None:
            held = begin(settings, given.prompt)
        else:
            held = take_up(Archive(default_file()).read(given.id), settings, frozenset(flags))
        tokenizer = open_checkpoint(held.model).tokenizer()
    except (ArchiveError, ChatError, CheckpointError) as error:
        complain(str(error))
        return 1
    if given.sampled and not held.sampled:
        complain("What the model sampled in this conversation was not kept; later ones keep it.")
        return 1
    if given.ids:
        _print_ids(held, tokenizer, given.sampled)
    elif given.json:
        _print_json(held, tokenizer, given.sampled)
    else:
        show = sampled_lines if given.sampled else rendered_lines
        for line in show(held, tokenizer, _page(given.color)):
            print(line)
    if held.damage:
        complain(f"the conversation ends early: {held.damage}")
    return 1 if held.damage else 0


def _page(colour: str) -> Page:
    in_terminal = sys.stdout.isatty()
    wanted = in_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"
    width = shutil.get_terminal_size((_PIPE_WIDTH, 0)).columns if in_terminal else _PIPE_WIDTH
    return Page(width, colour == "always" or (colour == "auto" and wanted))


def _print_ids(held: Held, tokenizer: Tokenizer, sampled: bool) -> None:
    streams = [one.ids for one in held.sampled] if sampled else [render(held.conversation, tokenizer)]
    for ids in streams:
        print(",".join(map(str, ids)))


def _print_json(held: Held, tokenizer: Tokenizer, sampled: bool) -> None:
    prompt = [dissect(render(held.conversation, tokenizer), tokenizer)]
    streams = read_samples(held, tokenizer) if sampled else prompt
    for number, blocks in enumerate(streams):
        sample = held.sampled[number] if sampled else None
        place = {"sample": number} if sample else {}
        if sample and sample.prompt_tokens:
            place["prompt_tokens"] = sample.prompt_tokens
        scores = iter(_scores(sample) if sample else ())
        for message, block in enumerate(blocks):
            for piece in block.pieces:
                score = next(scores, {})
                repairs = {"repairs": piece.repairs} if piece.repairs else {}
                line = {**place, "message": message, **piece.as_json(), **block.as_json(), **score, **repairs}
                print(json.dumps(line))


def _scores(sample: Sampled) -> Iterator[dict[str, float | None]]:
    """The logprob of each token, where it was kept; JSON has no number for one that is infinite."""
    for logprob in sample.logprobs:
        yield {"logprob": logprob if isfinite(logprob) else None}
