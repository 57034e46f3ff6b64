"""Our two colour themes. All other code names a colour by its meaning."""

from __future__ import annotations

from collections.abc import Mapping

from textual.color import Color
from textual.theme import Theme

DARK = Theme(
    name="gptoss-dark",
    primary="#8ab4e8",
    secondary="#8b96a8",
    accent="#d9a86c",
    success="#94c58c",
    warning="#e3b866",
    error="#e5808a",
    foreground="#d5d9e0",
    background="#15181d",
    surface="#1b1f26",
    panel="#252a33",
    dark=True,
    variables={
        "border": "#3a424f",
        "border-blurred": "#2b313b",
        "block-cursor-text-style": "none",
        "input-cursor-background": "#d5d9e0",
        "input-selection-background": "#8ab4e8 30%",
        "scrollbar": "#2b313b",
        "scrollbar-hover": "#3a424f",
        "scrollbar-active": "#8ab4e8",
        "scrollbar-background": "#15181d",
        "scrollbar-background-hover": "#15181d",
        "scrollbar-background-active": "#15181d",
    },
)

LIGHT = Theme(
    name="gptoss-light",
    primary="#245a9c",
    secondary="#5f6875",
    accent="#8f5310",
    success="#2f7233",
    warning="#805b00",
    error="#ad2e3c",
    foreground="#22262c",
    background="#fbfaf8",
    surface="#f3f1ec",
    panel="#e8e5de",
    dark=False,
    variables={
        "border": "#b9b5ab",
        "border-blurred": "#d8d4ca",
        "block-cursor-text-style": "none",
        "input-cursor-background": "#22262c",
        "input-selection-background": "#245a9c 25%",
        "scrollbar": "#d8d4ca",
        "scrollbar-hover": "#b9b5ab",
        "scrollbar-active": "#245a9c",
        "scrollbar-background": "#fbfaf8",
        "scrollbar-background-hover": "#fbfaf8",
        "scrollbar-background-active": "#fbfaf8",
    },
)


def quiet_colours(theme: Theme) -> dict[str, str]:
    """The colours `$muted` for secondary text and `$faint` for the least important text, in any theme.

    Textual's own `$text-muted` turns white inside a `Content`.
    """
    if theme.ansi:
        return {"muted": "ansi_bright_black", "faint": "ansi_bright_black"}
    foreground = Color.parse(theme.to_color_system().generate()["foreground"])
    return {"muted": foreground.with_alpha(0.78).hex, "faint": foreground.with_alpha(0.66).hex}


def default_theme(environment: Mapping[str, str]) -> str:
    """The theme that suits the terminal: light where COLORFGBG names a white background, else dark."""
    background = environment.get("COLORFGBG", "").rpartition(";")[2]
    return LIGHT.name if background in ("7", "15") else DARK.name
