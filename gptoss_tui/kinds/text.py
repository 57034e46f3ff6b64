"""Texts: the kind of an argument for which a tool names no other."""

from __future__ import annotations

import re

from . import address_pattern
from .glob import fits

_ADDRESS = re.compile(r"\s*https?://", re.IGNORECASE)


def covers(pattern: str, text: str) -> bool | None:
    """Whether the pattern covers the text; see `Kind`.

    A text that is written as a web address is compared as an address with a pattern that is written so too.
    Where it fits only as a text, the result is in doubt.
    """
    as_text = fits(pattern, text)
    if not (_ADDRESS.match(text) and address_pattern.names_scheme(pattern)):
        return as_text
    as_address = address_pattern.covers(pattern, text)
    return None if as_text and not as_address else as_address
