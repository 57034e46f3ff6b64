"""The arguments of gptoss-chat, with their help texts."""

from __future__ import annotations

import argparse
from functools import partial
from typing import NoReturn

from .. import __version__
from .subcommands import SUBCOMMANDS

USAGE = 2
"""The exit status of wrong usage."""

_EPILOG = """\
With -p, stdout carries the final answer and nothing else. Text piped into stdin is put before the question,
with an empty line between; without -p it is the question. Tool calls are told on stderr if it is a terminal.
Exit status: 0 answered, 1 failed with a message on stderr, 2 wrong usage, 130 interrupted.
Options can also stand in config.toml (temperature = 0.7) or the environment (GPTOSS_CHAT_TEMPERATURE=0.7).
"""


def _subcommands_help() -> str:
    lines = [f"  gptoss-chat {name:<10}{summary}" for name, summary in SUBCOMMANDS.items()]
    return "\n".join(["", "looking back, and looking after (each has a --help of its own):", *lines])


class CommandLineParser(argparse.ArgumentParser):
    """Reports wrong usage in one line that ends with the way to the help."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"{self.prog}: {message}; see {self.prog} --help\n")


def parser() -> argparse.ArgumentParser:
    """The parser of all options but those of the subcommands.

    Its values are texts, which the settings read. An option that was not given is not in the result.
    """
    options = CommandLineParser(
        prog="gptoss-chat",
        usage="gptoss-chat [options]\n       gptoss-chat SUBCOMMAND [options]",
        description="Talk with gpt-oss on your own machine. Without options: the full screen.",
        epilog=_EPILOG + _subcommands_help(),
        formatter_class=partial(argparse.RawDescriptionHelpFormatter, max_help_position=34),
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    front_end = options.add_argument_group("how to talk")
    front_end.add_argument(
        "-p", "--prompt", metavar="TEXT", help="answer this one question on stdout and exit"
    )
    front_end.add_argument(
        "--json", action="store_true", help="with a question: print every event as a line of JSON"
    )
    front_end.add_argument(
        "--show-reasoning", action="store_true", help="print the raw analysis and tool calls on stderr"
    )
    front_end.add_argument(
        "--plain", action="store_true", help="read messages line by line: no boxes, no animation"
    )
    past = front_end.add_mutually_exclusive_group()
    past.add_argument(
        "--continue", dest="resume", action="store_const", const="", help="go on with the last conversation"
    )
    past.add_argument("--resume", metavar="ID", help="go on with the conversation of this name")

    model = options.add_argument_group("the model")
    model.add_argument(
        "-m", "--model", metavar="MODEL", help='"demo" (default) or the folder of a checkpoint'
    )
    model.add_argument(
        "-e", "--effort", metavar="EFFORT", help="how long it thinks: low, medium (default), high"
    )
    model.add_argument("--instructions", metavar="TEXT|@FILE", help="what the developer message tells it")
    model.add_argument("--temperature", metavar="T", help="0 always takes the likeliest token (1)")
    model.add_argument("--top-p", metavar="P", help="sample from the likeliest tokens that make up P (1)")
    model.add_argument("--seed", metavar="N", help="make sampling repeatable")
    model.add_argument("--max-tokens", metavar="N", help="the most tokens the model writes at one go")
    model.add_argument(
        "--max-reasoning-tokens", metavar="N", help="the most tokens it thinks before it must answer"
    )
    model.add_argument("--schema", metavar="FILE.json", help="answer with JSON that fits this JSON Schema")
    model.add_argument(
        "--reasoning",
        metavar="HOW",
        help="the raw reasoning is folded away (folded, default), never shown (hidden), or open (raw)",
    )
    model.add_argument(
        "--reasoning-filter",
        metavar="FILTER",
        help="what sees the reasoning before you do: FILE.py:FUNCTION, or a checkpoint that judges it",
    )
    model.add_argument("--context", metavar="N", help="the most tokens the model is shown at once")
    model.add_argument(
        "--context-full",
        metavar="HOW",
        help="what becomes of the oldest turns when a conversation fills that: the model sums them up "
        "(compact), they are left out (drop, default of the demo model), or you are asked (ask)",
    )
    model.add_argument("--device", metavar="DEVICE", help="where it runs: auto (default), cpu, cuda, cuda:N")
    model.add_argument("--threads", metavar="N", help="processor threads the model may use")

    tools = options.add_argument_group("what the model may do")
    tools.add_argument(
        "--tools", metavar="LIST", help="tools by name, with commas: python (default), browser, or none"
    )
    tools.add_argument(
        "--search",
        metavar="WHO",
        help="who searches for the browser: duckduckgo (default), searxng, exa, you, brave, offline",
    )
    tools.add_argument("--searxng", metavar="URL", help="the SearXNG that searches for the browser")
    tools.add_argument("--documents", metavar="FOLDER", help="browse these documents, without a network")
    tools.add_argument("--zim", metavar="FILE", help="browse this Kiwix ZIM file, without a network")
    tools.add_argument(
        "--allow-hosts",
        metavar="LIST",
        help="hosts of private networks that the browser may open, each HOST or HOST:PORT",
    )
    tools.add_argument(
        "--functions",
        metavar="FILE.py",
        action="append",
        help="let the model call the public functions of this file or module (may be repeated)",
    )
    tools.add_argument(
        "--mcp",
        metavar="FILE.json",
        help="let it call the tools of the MCP servers in this file (mcpServers); /tools shows what it has",
    )
    tools.add_argument(
        "--sandbox",
        metavar="HOW",
        help="what its code may write: read-only, workspace-write (default), danger-full-access",
    )
    tools.add_argument(
        "--ask-for-approval",
        metavar="WHEN",
        help="untrusted: for whatever runs; on-request: for what reaches outside (default); "
        "never: refuse what would need asking",
    )
    tools.add_argument("--max-tool-calls", metavar="N", help="calls in one turn before you are asked (32)")
    tools.add_argument(
        "--dangerously-bypass-approvals-and-sandbox",
        dest="bypass",
        action="store_true",
        help="run the model's code as you, unconfined and unasked",
    )
    options.add_argument("--version", action="version", version=f"gptoss-chat {__version__}")
    return options
