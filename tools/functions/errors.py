"""The errors of functions."""

from __future__ import annotations


class SignatureError(Exception):
    """A function cannot be offered to a model; the message names the reason and the remedy."""


def what(error: BaseException) -> str:
    """The error's class and first line."""
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    first = (text.splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
