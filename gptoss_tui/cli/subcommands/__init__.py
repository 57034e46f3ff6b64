"""The subcommands, a file each: `gptoss-chat NAME ...` reports on something and holds no conversation.

A subcommand's file has `arguments(parser)`, which declares its options, and `run(options)`, which returns the
exit status. The file is imported when the command line names it.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from importlib import import_module

SUBCOMMANDS = {
    "sessions": "list the conversations that are kept",
    "export": "print a conversation as Markdown or JSON",
    "doctor": "say what works here, what does not, and what would help",
    "tokens": "show a conversation as the model sees it, token by token",
    "bench": "measure how fast a model runs here",
}


def arguments(name: str, parser: ArgumentParser) -> None:
    """Declare the options of the subcommand `name`."""
    import_module(f".{name}", __package__).arguments(parser)


def run(name: str, options: Namespace) -> int:
    """Run the subcommand `name`; returns the exit status. Raises SettingsError for wrong usage."""
    return int(import_module(f".{name}", __package__).run(options))
