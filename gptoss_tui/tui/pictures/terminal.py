"""The way in which this terminal draws pictures, found from the environment.

The program could also ask the terminal. But while the screen runs the answer would arrive among the keys, and
before that the question costs time and may swallow the first key that somebody types.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Graphics = Literal["kitty", "sixel", "blocks"]

# Terminals with Unicode placeholders of the kitty graphics protocol, and those with DEC's sixels.
_KITTY_TERMS = ("xterm-kitty", "xterm-ghostty")
_SIXEL_TERMS = ("foot", "mlterm", "contour", "yaft")
_SIXEL_PROGRAMS = ("WezTerm", "iTerm.app")
_KONSOLE_WITH_SIXEL = 22_04_00


def graphics(environment: Mapping[str, str]) -> Graphics:
    """The best way that the terminal is known to have; coloured half blocks work everywhere."""
    term = environment.get("TERM", "")
    program = environment.get("TERM_PROGRAM", "")
    if environment.get("TMUX") or term.startswith(("tmux", "screen")):
        return "blocks"  # the environment does not name the terminal outside
    if term in _KITTY_TERMS or environment.get("KITTY_WINDOW_ID") or program == "ghostty":
        return "kitty"
    if term.startswith(_SIXEL_TERMS) or program in _SIXEL_PROGRAMS:
        return "sixel"
    konsole = environment.get("KONSOLE_VERSION", "")
    if konsole.isdecimal() and int(konsole) >= _KONSOLE_WITH_SIXEL:
        return "sixel"
    return "blocks"
