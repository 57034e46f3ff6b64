"""The header of a sampled message: channel, recipient and content type out of whatever the model wrote.

A recipient may stand in the author part or after the channel, with or without `<|constrain|>`; both occur in
what the models were trained on. About 4 % of gpt-oss-20b's turns at temperature 1 carry a damaged header
(ggml-org/llama.cpp issue 27720); each mend below is one that has been seen.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .message import Channel

EVERYBODY = frozenset({"assistant", "user", "all"})
CONSTRAIN = "<|constrain|>"

_TO = re.compile(r"to=(\S*)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:/-]{0,127}")
_CONSTRAINED = re.compile(r"<\|constrain\|>\s*([A-Za-z0-9_]{0,40})")
_MARKERS = re.compile(r"<\|[a-z0-9_]+\|>")
_GLUED = re.compile(r"(json|code)$")
_BUILT_IN = ("python", "browser")


@dataclass(frozen=True, slots=True)
class Header:
    """What a header says. `forged` names the author it pretends to be; `is_bare` means that it says nothing.

    `recognised` is True when the channel was one of the three or could be mended to one.
    """

    channel: Channel
    recipient: str | None
    content_type: str | None
    repairs: tuple[str, ...] = ()
    forged: str | None = None
    is_bare: bool = False
    recognised: bool = True


def read_header(*, author: str, rest: str | None, preset: bool, recipients: frozenset[str]) -> Header:
    """Read a header cut at its `<|channel|>`: `author` before it, `rest` after it (None without one).

    `preset` says that the prompt had already written the role.
    """
    role, spill = _split_role(author, preset)
    if role is not None:
        return Header(Channel.COMMENTARY, None, None, forged=role)
    repairs: list[str] = []
    text = f"{spill} {rest or ''}"
    is_bare = not text.strip()
    constrained = _CONSTRAINED.search(text)
    text = _CONSTRAINED.sub(" ", text)
    recipient, glued = _recipient(text, recipients, repairs)
    words = _MARKERS.sub(" ", _TO.sub(" ", text)).split()
    channel, recognised, words = _channel(words, recipient, repairs)
    if len(words) > 1:
        repairs.append("extra words in a header were ignored")
    written = CONSTRAIN + constrained[1] if constrained else (words[0][:40] if words else None)
    content_type = glued or written
    return Header(channel, recipient, content_type, tuple(repairs), None, is_bare, recognised)


def _split_role(author: str, preset: bool) -> tuple[str | None, str]:
    """The forged role (None when the assistant speaks) and what follows the role words."""
    text = author.strip()
    stripped = re.sub(r"^(?:assistant\s*)+", "", text)
    if preset or stripped != text or not text or text.startswith("to="):
        return None, stripped
    if any(channel.value.startswith(text.split()[0]) for channel in Channel):
        return None, text
    return re.split(r"[\s:<]", text, maxsplit=1)[0][:40], ""


def _recipient(text: str, known: frozenset[str], repairs: list[str]) -> tuple[str | None, str | None]:
    """The tool called, and a content type that was glued to its name."""
    glued: str | None = None
    names: list[str] = []
    for raw in _TO.findall(text):
        name = _MARKERS.split(raw)[0]
        if name not in known and (cut := _GLUED.sub("", name)) in known:
            repairs.append(f"a content type glued to the name {cut} was split off")
            name, glued = cut, name[len(cut) :]
        if name and name not in EVERYBODY and name not in names:
            names.append(name)
    if len(names) > 1:
        repairs.append("a call to more than one tool")
        return " and ".join(names), glued
    if names and not _NAME.fullmatch(names[0]):
        repairs.append("a tool's name with odd characters")
    return (names[0] if names else None), glued


def _channel(words: list[str], recipient: str | None, repairs: list[str]) -> tuple[Channel, bool, list[str]]:
    """The channel, whether it was recognised, and the words that are left."""
    if not words:
        if recipient is not None:
            repairs.append("a call without a channel")
            return _channel_of_call(recipient), True, words
        repairs.append("a message without a channel was read as the answer")
        return Channel.FINAL, False, words
    word = (re.match(r"[A-Za-z]*", words[0]) or [""])[0].lower()
    for channel in Channel:
        if word == channel.value:
            if words[0] != channel.value:
                repairs.append(f"the channel {words[0][:40]!r} was read as {channel.value}")
            return channel, True, words[1:]
    for channel in (Channel.ANALYSIS, Channel.COMMENTARY):
        if word.startswith(channel.value) or (len(word) >= 4 and channel.value.startswith(word)):
            repairs.append(f"the channel {words[0][:40]!r} was read as {channel.value}")
            return channel, True, words[1:]
    if recipient is not None:
        repairs.append("a call without a channel")
        return _channel_of_call(recipient), True, words
    repairs.append(f"the unknown channel {words[0][:40]!r} was read as commentary")
    return Channel.COMMENTARY, False, words[1:]


def _channel_of_call(recipient: str) -> Channel:
    return Channel.ANALYSIS if recipient.split(".", maxsplit=1)[0] in _BUILT_IN else Channel.COMMENTARY
