"""The one filter between untrusted text and the terminal.

Model output, tool output, pastes, errors and titles pass through `printable` before a front end shows them:
Textual and a bare `print` both hand escape sequences on to the terminal.
"""

from __future__ import annotations

import re

_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_SEPARATORS = "\u2028\u2029"
_TAGS = "\U000e0000-\U000e007f"
_CONTROLS = "\x00-\x08\x0b-\x1f\x7f-\x9f"
_SURROGATES = "\ud800-\udfff"
_UNSAFE = re.compile(f"[{_CONTROLS}{_BIDI}{_SEPARATORS}{_TAGS}{_SURROGATES}]")

# Harmless to the terminal, but able to hide a part of a command. Joiners and variation selectors have honest
# uses in ordinary text, so only `revealed` marks them.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u2060-\u2065\u206a-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000e0100-\U000e01ef]"
)

_ACTING = re.compile(f"[{_CONTROLS}{_SURROGATES}]")

_REPLACEMENT = "\ufffd"


def _mark(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    return "\u2424" if character in _SEPARATORS else _REPLACEMENT


def printable(text: str) -> str:
    """`text` with everything that could act on a terminal replaced by a visible mark.

    Controls other than tab and newline become control pictures (ESC is shown as ␛); C1 controls, direction
    controls, tag characters and surrogates become U+FFFD; line and paragraph separators become ␤. The result
    has exactly one character for each character of `text`, so pieces of a stream may be filtered one by one.
    """
    return _UNSAFE.sub(_mark, text)


def revealed(text: str) -> str:
    """`printable` text with marks for invisible characters too: for text that a person may approve."""
    return _INVISIBLE.sub(_REPLACEMENT, printable(text))


def without_controls(text: str) -> str:
    """`text` with marks for controls and surrogates, as by `printable`, and for nothing else: for the model.

    Direction controls have honest uses in the languages that need them, so the model gets them.
    """
    return _ACTING.sub(_mark, text)
