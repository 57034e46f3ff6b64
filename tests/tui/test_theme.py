"""Our colours can be read: the contrast that WCAG asks of body text (level AA, 4.5 to 1)."""

from __future__ import annotations

import pytest
from textual.color import Color
from textual.theme import Theme

from gptoss_tui.tui.widgets.theme import DARK, LIGHT, default_theme, quiet_colours


def luminance(color: Color) -> float:
    def linear(channel: int) -> float:
        share = channel / 255
        return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4

    return 0.2126 * linear(color.r) + 0.7152 * linear(color.g) + 0.0722 * linear(color.b)


def contrast(one: Color, other: Color) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", [DARK, LIGHT], ids=lambda theme: theme.name)
@pytest.mark.parametrize("ground", ["background", "surface"])
def test_text_has_contrast(theme: Theme, ground: str) -> None:
    colors = theme.to_color_system().generate() | quiet_colours(theme)
    behind = Color.parse(colors[ground])
    inks = ["foreground", "muted", "faint"]
    inks += [f"text-{name}" for name in ("primary", "accent", "success", "warning", "error")]
    for ink in inks:
        shown = behind + Color.parse(colors[ink])
        assert contrast(shown, behind) >= 4.5, f"{ink} on {ground}"


@pytest.mark.parametrize(("value", "name"), [("0;15", LIGHT.name), ("15;0", DARK.name), ("", DARK.name)])
def test_the_terminal_chooses_light_or_dark(value: str, name: str) -> None:
    assert default_theme({"COLORFGBG": value} if value else {}) == name
