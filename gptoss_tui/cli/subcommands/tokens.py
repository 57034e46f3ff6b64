"""`gptoss-chat tokens`: the tokens of a conversation as the model reads them. It loads only the tokenizer."""

from __future__ import annotations

import json
import os
import shutil
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from math import isfinite

from ...agent.runtime import AgentError
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
from .formatter import TokenFormatter
from .inspection import Inspection, begin, resume
from .listing import read_samples, rendered_lines, sampled_lines

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
    prompts = parser.add_argument_group("what the model is told (default: as the conversation was held)")
    prompts.add_argument("-m", "--model", metavar="MODEL", help="whose tokenizer")
    prompts.add_argument("-e", "--effort", metavar="EFFORT", help="low, medium, high")
    prompts.add_argument("--instructions", metavar="TEXT|@FILE", help="the developer's instructions")
    prompts.add_argument("--tools", metavar="LIST", help="tools by name, or none")
    prompts.add_argument("--functions", metavar="FILE.py", action="append", help="functions on offer")
    prompts.add_argument("--schema", metavar="FILE.json", help="the shape of the answer")


def run(options: Namespace) -> int:
    """Print the tokens; returns the exit status. Raises SettingsError for wrong usage."""
    flags = {key: value for key, value in vars(options).items() if key in KEYS and value is not None}
    settings = read_settings(flags, os.environ)
    if options.prompt is not None and (options.id is not None or options.sampled):
        raise SettingsError("-p begins a new conversation: it takes neither ID nor --sampled")
    try:
        if options.prompt is not None:
            inspection = begin(settings, options.prompt)
        else:
            inspection = resume(Archive(default_file()).read(options.id), settings, frozenset(flags))
        tokenizer = open_checkpoint(inspection.model).tokenizer()
    except (ArchiveError, AgentError, CheckpointError) as error:
        complain(str(error))
        return 1
    if options.sampled and not inspection.sampled:
        complain("What the model sampled in this conversation was not kept; later ones keep it.")
        return 1
    if options.ids:
        _print_ids(inspection, tokenizer, options.sampled)
    elif options.json:
        _print_json(inspection, tokenizer, options.sampled)
    else:
        lines = sampled_lines if options.sampled else rendered_lines
        for line in lines(inspection, tokenizer, _formatter(options.color)):
            print(line)
    if inspection.damage:
        complain(inspection.damage)
    return 1 if inspection.damage else 0


def _formatter(colour: str) -> TokenFormatter:
    in_terminal = sys.stdout.isatty()
    has_colour = in_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"
    width = shutil.get_terminal_size((_PIPE_WIDTH, 0)).columns if in_terminal else _PIPE_WIDTH
    return TokenFormatter(width, colour == "always" or (colour == "auto" and has_colour))


def _print_ids(inspection: Inspection, tokenizer: Tokenizer, sampled: bool) -> None:
    prompt = [render(inspection.conversation, tokenizer)]
    streams = [sample.ids for sample in inspection.sampled] if sampled else prompt
    for ids in streams:
        print(",".join(map(str, ids)))


def _print_json(inspection: Inspection, tokenizer: Tokenizer, sampled: bool) -> None:
    prompt = [dissect(render(inspection.conversation, tokenizer), tokenizer)]
    streams = read_samples(inspection, tokenizer) if sampled else prompt
    for number, segments in enumerate(streams):
        sample = inspection.sampled[number] if sampled else None
        place = {"sample": number} if sample else {}
        if sample and sample.prompt_tokens:
            place["prompt_tokens"] = sample.prompt_tokens
        scores = iter(_scores(sample) if sample else ())
        for message, segment in enumerate(segments):
            for piece in segment.pieces:
                score = next(scores, {})
                repairs = {"repairs": piece.repairs} if piece.repairs else {}
                line = {
                    **place,
                    "message": message,
                    **piece.as_json(),
                    **segment.as_json(),
                    **score,
                    **repairs,
                }
                print(json.dumps(line))


def _scores(sample: Sampled) -> Iterator[dict[str, float | None]]:
    """The logprob of each token, where it was kept; JSON has no number for one that is infinite."""
    for logprob in sample.logprobs:
        yield {"logprob": logprob if isfinite(logprob) else None}
