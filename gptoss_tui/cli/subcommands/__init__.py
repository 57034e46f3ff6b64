"""The subcommands: `gptoss-chat NAME ...` looks at something instead of having a conversation. A file each.

A subcommand's file has `arguments(parser)`, which declares its options, and `run(given)`, which returns the
exit status. It is imported when it is asked for.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from importlib import import_module

SUBCOMMANDS = {
    "sessions": "list the conversations that are kept",
    "export": "print a conversation as Markdown or JSON",
    "doctor": "say what works here, what does not, and what would help",
    "tokens": "show a conversation as the model sees it, token by token",
}


def arguments(name: str, parser: ArgumentParser) -> None:
    """Declare the options of the subcommand `name`."""
    import_module(f".{name}", __package__).arguments(parser)


def run(name: str, given: Namespace) -> int:
    """Run the subcommand `name`; returns the exit status. Raises SettingsError for wrong usage."""
    return int(import_module(f".{name}", __package__).run(given))
