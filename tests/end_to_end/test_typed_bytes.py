"""What a terminal sends, byte by byte, to the installed command."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from typing import Any

import pytest

Open = Callable[..., Any]

BACKSPACE, CTRL_C, CTRL_P, CTRL_Q, CTRL_U, CTRL_W = b"\x7f", b"\x03", b"\x10", b"\x11", b"\x15", b"\x17"
LEFT = b"\x1b[D"
PASTE = b"\x1b[200~A \x1b[31mred\x1b[0m B\rSECOND LINE\x1b[200~ \x1b[27u\xe9\x1b[201~"
PASTED = r"A ␛\[31mred␛\[0m B +│\n │ SECOND LINE␛\[200~ ␛\[27u\ufffd"


@pytest.fixture
def ready(terminal: Open) -> Any:
    """The program, waiting for a message."""
    screen = terminal("--tools", "none")
    screen.wait_for("● ready")
    return screen


def test_each_write_ends_in_the_right_text(ready: Any) -> None:
    for write, draft in [
        (b"caf\xe9 x", "caf\ufffd x"),
        (b"\x1b[M\x40\xc8\x30mouse", "mouse"),
        (b"abc" + BACKSPACE + b"d", "abd"),
        (b"hello" + LEFT * 2 + b"X", "helXlo"),
        (b"one two" + CTRL_W + b"three", "one three"),
        (b"gone" + CTRL_U + b"/eff\t" + b"low", "/effort low"),
        (b"kitty\x1b[32u\x1b[47;1u", "kitty /"),
        (PASTE + b"!", PASTED + "!"),
    ]:
        ready.child.send(write)
        ready.wait_for(f"│ {draft} +│\n ╰")
        ready.child.send(CTRL_C)
        ready.wait_for("Message demo")
    ready.child.send(CTRL_Q)
    assert ready.leave() == 0
    ready.assert_restored()


def test_a_paste_in_single_bytes_is_the_same(ready: Any) -> None:
    for byte in PASTE:
        ready.child.send(bytes([byte]))
    ready.wait_for(f"│ {PASTED} +│\n ╰")


def test_what_is_sent_is_what_was_left(ready: Any) -> None:
    ready.child.send(b"first" + BACKSPACE * 5 + b"second\rdraft" + LEFT + b"-")
    ready.wait_for(r"(?s)\bsecond\b.*│ draf-t +│\n ╰")
    assert "first" not in ready.text


def test_keys_behind_the_palette_key_go_to_the_palette(ready: Any) -> None:
    ready.child.send(CTRL_P + b"thenx" + BACKSPACE * 2 + b"me" + b"\x1b[200~\x1b\r\x1b[201~")
    ready.wait_for("theme␛")


def test_no_bytes_end_the_program(ready: Any) -> None:
    """Any bytes but those of the keys that quit, or that may choose to."""
    chance = random.Random(9)
    starts = [b"\x1b", b"\x1b[", b"\x1b[M", b"\x1b[<", b"\x1b[48;", b"\x1b]", b"\x1bO", b"\x1b[99999999;"]
    for _ in range(30):
        noise = b"".join(chance.choice(starts) + chance.randbytes(chance.randint(0, 20)) for _ in range(10))
        for key in (CTRL_C, CTRL_P, CTRL_Q, b"\r"):
            noise = noise.replace(key, b"")
        ready.child.send(noise)
    ready.child.send(b"\x1b[201~." + CTRL_C + b"still here")
    ready.wait_for("still here")
    ready.child.send(CTRL_Q)
    assert ready.leave() == 0


def test_a_paste_without_end_is_told_and_the_next_one_ends_it(ready: Any) -> None:
    ready.child.send(b"\x1b[200~not\rsent")
    ready.wait_for("A paste has begun")
    ready.child.send(b"\r\x11\x1b[200~, \x1b[201~over")
    ready.wait_for("│ not +│\n │ sent +│\n │ ␑␛.200~, over")


pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are Unix's")
