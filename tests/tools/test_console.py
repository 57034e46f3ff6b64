"""A cell's output becomes plain, bounded text, in whatever pieces it arrives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss_tui.tools.python.console import FLOOD, Console, plain
from gptoss_tui.tools.python.traceback import trim

# Text with everything that terminals react to, and none of what they do not.
HOSTILE = st.text(st.sampled_from("ab \n\r\t\x1b[]0;31mKJ\x07\x08\x9b\\é漢\ud800"), max_size=60)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("a\r\nb\r\n", "a\nb\n"),
        (" 10%\r 50%\r100%\n", "100%\n"),
        ("100%\r\n", "100%\n"),
        ("50%\r", "50%"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://a\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("bell\x07 back\x08 nul\x00", "bell back nul"),
        ("tab\tstays\n", "tab\tstays\n"),
        ("lone \ud800", "lone ?"),
    ],
)
def test_terminal_text_is_told_as_it_would_look(written: str, told: str) -> None:
    console = Console()
    assert console.write(written) + console.finish() == told


@given(st.lists(HOSTILE, max_size=8))
def test_pieces_do_not_matter(pieces: list[str]) -> None:
    whole, parted = Console(), Console()
    told = whole.write("".join(pieces)) + whole.finish()
    assert "".join([*map(parted.write, pieces), parted.finish()]) == told


@given(HOSTILE)
def test_nothing_that_acts_on_a_terminal_remains(text: str) -> None:
    assert all(character.isprintable() or character in "\n\t" for character in plain(text))


@given(st.lists(st.tuples(st.booleans(), st.text("ab\n", max_size=80)), max_size=30))
def test_output_is_bounded_and_keeps_both_ends(pieces: list[tuple[bool, str]]) -> None:
    console, unbounded = Console(limit=100), Console(limit=10**6)
    told, full = "", ""
    for shown, text in pieces:
        told += console.show(text) if shown else console.write(text)
        full += unbounded.show(text) if shown else unbounded.write(text)
    told, full = told + console.finish(), full + unbounded.finish()
    if len(full) <= 100:
        assert told == full
    else:
        assert len(told) < 100 + 50
        assert told[:80] == full[:80]
        assert told[-20:] == full[-20:]
        assert f"{len(full) - 100} characters left out" in told


def test_shown_values_stand_on_lines_of_their_own() -> None:
    console = Console()
    told = console.write("printed") + console.show("echo") + console.show("echo") + console.write("more\n")
    assert told + console.finish() == "printed\necho\necho\nmore\n"


def test_flood_is_noticed() -> None:
    console = Console()
    console.write("x" * FLOOD)
    assert not console.flooded
    console.write("x")
    assert console.flooded


def test_traceback_keeps_own_frames_and_the_last_of_each_run_in_libraries() -> None:
    library = "  File /usr/lib/python3.11/json/decoder.py:{} in decode\n    self.scan()"
    frames = ["Traceback (most recent call last):", "  Cell In[1], line 2\n    f()"]
    frames += [library.format(number) for number in (1, 2, 3)] + ["ValueError: no"]
    assert trim("\n\n".join(frames)).splitlines() == [
        "Traceback (most recent call last):",
        "  Cell In[1], line 2",
        "    f()",
        "  [… 2 frames in libraries …]",
        "  File /usr/lib/python3.11/json/decoder.py:3 in decode",
        "    self.scan()",
        "ValueError: no",
    ]


def test_traceback_of_a_deep_recursion_is_short() -> None:
    frames = [f"  Cell In[1], line {number} in f\n    f()" for number in range(3000)]
    trimmed = trim("\n\n".join(["Traceback (most recent call last):", *frames, "RecursionError: deep"]))
    assert len(trimmed.splitlines()) < 30
    assert trimmed.endswith("RecursionError: deep\n")
