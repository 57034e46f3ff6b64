"""The filter between untrusted text and the terminal."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss_tui.events.printable import printable, revealed

ANY = st.text(st.characters(exclude_categories=())) | st.text("\x1b[31m\x9b\u202e\u2066\U000e0041\u2028ab\n")


@given(ANY)
def test_nothing_that_acts_on_a_terminal_is_left(text: str) -> None:
    for character in printable(text):
        assert character in "\t\n" or unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp")
        assert unicodedata.bidirectional(character) not in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI")
        assert not 0xE0000 <= ord(character) <= 0xE007F


@given(ANY, ANY)
def test_pieces_of_a_stream_give_the_whole(one: str, two: str) -> None:
    assert printable(one) + printable(two) == printable(one + two)
    assert len(printable(one)) == len(one)
    assert printable(printable(one)) == printable(one)


@pytest.mark.parametrize(
    "text", ["", "a\tb\nc", "naïve café", "漢字 かな", "👩‍👩‍👧 ❤️", "\u0915\u094d\u200d\u0937"]
)
def test_ordinary_text_is_untouched(text: str) -> None:
    assert printable(text) == text


def test_marks_are_readable() -> None:
    assert printable("\x1b[2J\r\x7f\x85\u2028") == "␛[2J␍␡\ufffd␤"


def test_what_is_approved_shows_zero_width_characters_too() -> None:
    assert revealed("rm\u200b -rf\u2060 \ufeff/\u00ad") == "rm\ufffd -rf\ufffd \ufffd/\ufffd"
