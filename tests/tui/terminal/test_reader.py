"""Bytes of a terminal, in any pieces, become the right events, and never an error."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual import events
from textual.message import Message

from gptoss_tui.tui.terminal.reader import Reader

START, END = b"\x1b[200~", b"\x1b[201~"

# Bytes as terminals send them, whole and cut off, beside any others.
FRAGMENTS = st.one_of(
    st.binary(max_size=6),
    st.sampled_from(
        [
            *(b"\x1b", b"\x1b[", b"\x1b[M", b"\x1bO", b"\x1b[<", b"\x1b[1;", b"\x1b[48;", b"\x1b]", b"\x1bP"),
            *(b"a", b"\r", b"\x7f", b"\xc3", b"\xe2\x82", "é😀".encode(), b"~", b"u", b";", b":", b"M", b"9"),
            *(b"\x1b[A", b"\x1b[3~", b"\x1bOP", b"\x1b[[A", b"\x1b[I", b"\x1b[O", b"\x1b[12;40R"),
            *(
                b"\x1b[97;;97u",
                b"\x1b[32u",
                b"\x1b[97;1:3u",
                b"\x1b[99999999;1u",
                b"\x1b[1:;1u",
                b"\x1b[;;;u",
            ),
            *(b"\x1b[0;;104:105u", b"\x1b[55296;1u", b"\x1b[97;;55296u", b"\x1b[27;5;99999999~"),
            *(
                b"\x1b[<0;10;10M",
                b"\x1b[<35;-1;5m",
                b"\x1b[<64;9999999;1M",
                b"\x1b[32;10;10M",
                b"\x1b[M@\xc80",
            ),
            *(b"\x1b[48;30;100;600;1000t", b"\x1b[48;0;0;0;0t", b"\x1b[48;99999;99999;9;9t"),
            *(
                b"\x1b[?2026;2$y",
                b"\x1b[?1;2c",
                b"\x1b]11;rgb:ff/ff/ff\x1b\\",
                b"\x1bP>|term\x1b\\",
                b"\x1b_Gi=1;OK\x1b\\",
            ),
            *(START, END),
        ]
    ),
    # Key reports of any code, modifiers and text.
    st.tuples(st.integers(0, 70_000), st.integers(0, 300), st.integers(0, 70_000)).map(
        lambda numbers: b"\x1b[%d;%d;%du" % numbers
    ),
    st.integers(57_300, 57_500).map(lambda code: b"\x1b[%du" % code),
)
STREAMS = st.lists(FRAGMENTS, max_size=30).map(b"".join)
CUTS = st.lists(st.integers(1, 9), min_size=1, max_size=20)


def pieces(data: bytes, cuts: list[int]) -> Iterable[bytes]:
    """`data` in pieces of the sizes `cuts`, over and over."""
    position = 0
    while position < len(data):
        for size in cuts:
            yield data[position : position + size]
            position += size


def read(data: bytes, cuts: list[int] | None = None, *, halting: bool = False) -> list[Message]:
    """The events of `data`; `halting` has a silence after every piece."""
    reader = Reader()
    found: list[Message] = []
    for piece in pieces(data, cuts) if cuts else [data]:
        found += reader.feed(piece)
        if halting:
            found += reader.silence()
    return found + list(reader.silence())


def described(found: Iterable[Message]) -> list[object]:
    """Events as values that can be compared; text keys by their character."""
    return [(event.key, event.character) if isinstance(event, events.Key) else repr(event) for event in found]


def pressed(found: Iterable[Message]) -> list[object]:
    return described(event for event in found if isinstance(event, events.Key))


def typed(data: bytes) -> str:
    """The characters of the printable keys in `data`, of which nothing else is made."""
    found = read(data)
    assert all(isinstance(event, events.Key) and event.is_printable for event in found)
    return "".join(event.character or "" for event in found if isinstance(event, events.Key))


def keys(data: bytes) -> list[str]:
    return [event.key for event in read(data) if isinstance(event, events.Key)]


@given(STREAMS, CUTS)
def test_the_pieces_make_no_difference(data: bytes, cuts: list[int]) -> None:
    assert described(read(data, cuts)) == described(read(data))


@given(STREAMS, CUTS)
def test_no_bytes_and_no_silences_are_an_error(data: bytes, cuts: list[int]) -> None:
    read(data, cuts, halting=True)


@given(STREAMS, STREAMS, STREAMS, CUTS)
def test_a_paste_comes_out_exact(before: bytes, pasted: bytes, after: bytes, cuts: list[int]) -> None:
    before = before.replace(START, b"") + b"."
    pasted = pasted.replace(END, b"") + b"."
    found = read(before + START + pasted + END + after.replace(START, b""), cuts)
    pastes = [event.text for event in found if isinstance(event, events.Paste)]
    assert pastes == [pasted.decode("utf-8", "replace")]
    around = [*read(before), *read(after.replace(START, b""))]
    assert pressed(found) == pressed(around)


@given(STREAMS, CUTS)
def test_silences_in_a_paste_make_no_key_of_it(pasted: bytes, cuts: list[int]) -> None:
    pasted = pasted.replace(END, b"") + b"."
    *start, paste = read(START + pasted + END, cuts, halting=True)
    assert described([paste]) == described([events.Paste(pasted.decode("utf-8", "replace"))])
    # A torn start has acted before anybody can know what it is; the paste has not.
    torn = "".join(event.key[0] for event in start if isinstance(event, events.Key))
    assert "el200".startswith(torn) or "a200".startswith(torn)


def test_a_paste_that_does_not_end_is_no_key_and_the_next_one_ends_it() -> None:
    reader = Reader()
    assert not list(reader.feed(START + b"rm -rf\r\x03\x1b"))
    assert not list(reader.silence())
    assert reader.in_paste
    found = list(reader.feed(START + b"again" + END + b"x"))
    assert described(found) == [repr(events.Paste("rm -rf\r\x03\x1b\x1b[200~again")), ("x", "x")]


def test_a_paste_without_end_takes_bounded_memory() -> None:
    reader = Reader()
    for _ in range(100):
        assert not list(reader.feed((START if not reader.in_paste else b"") + b"x" * 100_000))
    (paste,) = reader.feed(END)
    assert isinstance(paste, events.Paste)
    assert 1_000_000 < len(paste.text) < 5_000_000


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"caf\xe9 x", "caf\ufffd x"),
        (b"a\xff\xfeb", "a\ufffd\ufffdb"),
        (b"\xc3\x1b[32u", "\ufffd "),
        ("naïve 😀 日本".encode(), "naïve 😀 日本"),
        (b"\x1b[M\x40\xc8\x30", ""),
        (b"a\x1b[M\x40\xc8\x30b\x1b[M#\xff\xffc", "abc"),
        (b"\x1b[M !\x1b[32u", " "),
        (b"\x1b[?1;2c\x1b]11;rgb:ffff/ffff/ffff\x07\x1bP>|xterm(390)\x1b\\\x1b_Gi=31;OK\x1b\\.", "."),
        (b"\x1b[1;\x1b[32u", " "),
        (b"\x1b[32u\x1b[47;1u", " /"),
        (b"\x1b[97u\x1b[97;2u\x1b[97;65u\x1b[97;66u", "aAAa"),
        (b"\x1b[97:65;2u\x1b[49:33;2u\x1b[49;129u", "A!1"),
        (b"\x1b[228;2u\x1b[223;2u", "Äß"),
        (b"\x1b[57399u\x1b[57409;1u\x1b[57413;129u", "0.+"),
        (b"\x1b[97;;98u\x1b[0;;104:105u", "bhi"),
        (b"\x1b[97;1:1u\x1b[97;1:2u\x1b[97;1:3u", "aa"),
        (b"\x1b[99999999;1u\x1b[55296u\x1b[97;;55296u", "a"),
    ],
)
def test_what_is_typed(data: bytes, text: str) -> None:
    assert typed(data) == text


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x1b", ["escape"]),
        (b"\x1b\x1b", ["escape", "escape"]),
        (b"\x1b\x1b[A", ["escape", "up"]),
        (b"\x1b[27u\x1b[27;1u", ["escape", "escape"]),
        (b"\x1b[13u\x1b[9u\x1b[127u", ["enter", "tab", "backspace"]),
        (b"\x1b[13;2u\x1b[9;2u", ["shift+enter", "shift+tab"]),
        (b"\x1b[99;5u\x1b[32;5u\x1b[97;3u", ["ctrl+c", "ctrl+space", "alt+a"]),
        (b"\x1b[1;1:1A\x1b[1;1:3A\x1b[3;2:1~", ["up", "shift+delete"]),
        (b"\r\x7f\t\x03\x17", ["enter", "backspace", "tab", "ctrl+c", "ctrl+w"]),
        (b"\x1b[A\x1bOP\x1b[[B\x1b[1;5C\x1b[3~", ["up", "f1", "f2", "ctrl+right", "delete"]),
        (b"\x1b\r\x1b\x7f\x1bx\x1bX", ["alt+enter", "ctrl+w", "alt+x", "alt+shift+x"]),
        (b"\x1b[", ["alt+left_square_bracket"]),
        (b"\x1bO", ["alt+shift+o"]),
    ],
)
def test_what_is_pressed(data: bytes, expected: list[str]) -> None:
    assert keys(data) == expected


def test_a_sequence_that_comes_in_halves_is_not_taken_for_keys() -> None:
    reader = Reader()
    assert not list(reader.feed(b"\x1b[1;"))
    assert not list(reader.silence())
    assert described(reader.feed(b"5C")) == [("ctrl+right", None)]


def test_every_numbered_key_is_a_key_or_nothing() -> None:
    """F13, the keypad and the media keys have numbers in kitty's protocol, and no character."""
    for code in range(57_344, 57_455):
        for modifiers in (b"", b";1", b";2", b";5"):
            events_of_one = list(Reader().feed(b"\x1b[%d%su" % (code, modifiers)))
            assert len(events_of_one) <= 1
