"""Key reports of kitty's keyboard protocol, rewritten so that Textual can read them.

The protocol: https://sw.kovidgoyal.net/kitty/keyboard-protocol/. A report is
`CSI code:shifted:base ; modifiers:event ; text u`, of which all but the code may be missing.
"""

from __future__ import annotations

import re
from typing import Final

_REPORT: Final = re.compile(
    r"\x1b\[(?P<code>\d*)(?::(?P<shifted>\d*)[\d:]*)?"
    r"(?:;(?P<modifiers>\d*)(?::(?P<event>\d*)[\d:]*)?)?"
    r"(?:;(?P<text>[\d:]*))?(?P<final>[u~A-FHPQRS])"
)
_RELEASED: Final = "3"
_SHIFT: Final = 0b1
_CAPS_LOCK: Final = 0b100_0000
_COMMANDS: Final = 0b11_1110
"""Alt, Ctrl, Super, Hyper and Meta: a key with one of them is no text."""

_KEYPAD: Final = dict(enumerate("0123456789./*-+\r=,", 57399))
_PRIVATE_USE: Final = range(0xE000, 0xF900)
"""The code points that the protocol gives to keys that are no characters."""


def plain_reports(sequence: str) -> list[str]:
    """A control sequence as sequences that Textual understands; unchanged if it reports no key.

    Each character of a report's text becomes a report of its own. A key that is a character and has no text
    gets that character as its text. The release of a key becomes nothing.
    """
    match = _REPORT.fullmatch(sequence)
    if match is None:
        return [sequence]
    if match["event"] == _RELEASED:
        return []
    head = f"\x1b[{match['code']}"
    modifiers = match["modifiers"] or ""
    if match["final"] != "u":
        return [sequence if match["event"] is None else f"{head};{modifiers}{match['final']}"]
    code = int(match["code"] or 1)
    if match["text"]:
        text = [int(point) for point in match["text"].split(":") if point]
    else:
        text = _text(code, int(match["shifted"] or 0), int(modifiers or 1) - 1)
    text = [point for point in text if _is_character(point)]
    if text:
        return [f"{head};{modifiers};{point}u" for point in text]
    return [f"{head};{modifiers}u" if modifiers else f"{head}u"] if _exists(code) else []


def _text(code: int, shifted: int, modifiers: int) -> list[int]:
    """The code point, if any, of a key that is reported without text."""
    if modifiers & _COMMANDS:
        return []
    if code in _PRIVATE_USE:
        return [ord(_KEYPAD[code])] if code in _KEYPAD else []
    if not _is_character(code):
        return []
    if modifiers & _SHIFT and shifted:
        return [shifted]
    upper = bool(modifiers & _SHIFT) != bool(modifiers & _CAPS_LOCK)
    character = chr(code).upper() if upper else chr(code)
    return [ord(character)] if len(character) == 1 else [code]


def _is_character(code: int) -> bool:
    """Whether `code` is a Unicode scalar value other than a control."""
    return _exists(code) and code >= 0x20 and not 0x7F <= code < 0xA0


def _exists(code: int) -> bool:
    return code < 0xD800 or 0xE000 <= code <= 0x10FFFF
