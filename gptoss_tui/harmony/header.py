"""The header of a sampled message: channel, recipient and content type out of whatever the model wrote.

A recipient may stand in the author part or after the channel, with or without `<|constrain|>`; all of these
occur in what the models were trained on. About 4 % of gpt-oss-20b's turns at temperature 1 carry a damaged
header (ggml-org/llama.cpp issue 27720); each mend below is one that has been seen. A header is cut at its
control tokens before it is decoded, so that no name or channel ever runs across one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

from .message import Channel

NOT_TOOLS = frozenset({"", "assistant", "user", "all"})
"""Recipients that mean nobody in particular."""

CONSTRAIN = "<|constrain|>"

_TO = re.compile(r"to=(\S*)")
_LATE_TO = re.compile(r"(code|json)\s+to=")
_ODD_BLANKS = re.compile(r"^\s(?!to=)|[^\S ]|  ")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:/-]{0,127}")
_TYPE = re.compile(r"[A-Za-z0-9_.+/-]{1,40}")
_BARE_TYPES = ("code", "json")
_GLUED = re.compile(r"(json|code)$")
_BUILT_IN = ("python", "browser")
_CHANNELS = "|".join(Channel)
ROLE = re.compile(rf"\s*assistant(\s*assistant)*(?={_CHANNELS}|to=|(?![.-]?\w))", re.IGNORECASE)
"""The role words. What belongs into a header may be glued to them; `assistants` is another word."""


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a header and the control token before it; "" for the author part, which comes first."""

    marker: Literal["", "channel", "constrain"]
    text: str


@dataclass(frozen=True, slots=True)
class Header:
    """What a header says, and how it was mended; `forged` names the author that it pretends to have."""

    channel: Channel
    recipient: str | None = None
    content_type: str | None = None
    repairs: tuple[str, ...] = ()
    forged: str | None = None


def read_header(parts: Sequence[Part], *, preset: bool, recipients: frozenset[str]) -> Header:
    """Read a header, cut into its parts.

    `preset` says that the prompt had already written the role; `recipients` are the tools on offer.
    """
    repairs: list[str] = []
    forged, author = _role(parts[0].text, preset, repairs)
    if forged is not None:
        return Header(Channel.COMMENTARY, forged=forged)
    texts = [author, *(part.text for part in parts[1:])]
    recipient, glued = _recipient(texts, recipients, repairs)
    words: dict[str, list[str]] = {"channel": [], "": [], "constrain": []}
    is_late = is_spaced = False
    for part, text in zip(parts, texts, strict=True):
        rest, is_constraint = _TO.sub(" ", text), part.marker == "constrain"
        words[part.marker] += rest.split()
        is_late |= bool(_LATE_TO.search(text)) or (is_constraint and rest != text)
        is_spaced |= bool(_ODD_BLANKS.search(text)) or (is_constraint and rest.startswith(" "))
    if is_late:
        repairs.append("a recipient after the content type was read")
    if is_spaced:
        repairs.append("blanks in a header were ignored")
    channel = _channel(words["channel"], words[""], recipient, repairs)
    markers = [part.marker for part in parts]
    for marker in ("channel", "constrain"):
        if markers.count(marker) > 1:
            repairs.append(f"a doubled <|{marker}|> was ignored")
    content_type = _content_type(words, "constrain" in markers, repairs) or glued
    if extra := " ".join(word for group in words.values() for word in group):
        repairs.append(f"extra words in a header were ignored: {extra}")
    return Header(channel, recipient, content_type, tuple(repairs))


def _role(text: str, preset: bool, repairs: list[str]) -> tuple[str | None, str]:
    """The forged role (None when the assistant speaks) and what follows the role words."""
    role = ROLE.match(text)
    if role is None:
        first = text.split(maxsplit=1)[:1]
        if not preset and first and not first[0].startswith("to=") and not _named(first[0]):
            return (first[0].split(":")[0] or first[0])[:40], ""
        if not preset:
            repairs.append("a message without an author was read as the assistant's")
        return None, text
    if preset or role[0].strip() != "assistant":
        repairs.append("a doubled role was ignored")
    return None, text[role.end() :]


def _recipient(
    texts: Iterable[str], offered: frozenset[str], repairs: list[str]
) -> tuple[str | None, str | None]:
    """The tool called, and a content type that was glued to its name."""
    glued: str | None = None
    tools: list[str] = []
    for written in (name for text in texts for name in _TO.findall(text)):
        cut = _GLUED.sub("", written)
        name = cut if cut in offered and written not in offered else written
        if name != written:
            glued = written.removeprefix(name)
            repairs.append(f"a content type glued to the name {name} was split off")
        if name in NOT_TOOLS:
            repairs.append(f"to={name} names no tool and was ignored")
        elif name in tools:
            repairs.append(f"{name} was named twice")
        else:
            tools.append(name)
    if len(tools) > 1:
        on_offer = [name for name in tools if name in offered]
        if len(on_offer) != 1:
            repairs.append("a call to more than one tool")
            return " and ".join(tools), glued
        repairs.append(f"a call to more than one tool was read as one to {on_offer[0]}: {' '.join(tools)}")
        tools = on_offer
    if tools and not _NAME.fullmatch(tools[0]):
        repairs.append("a tool's name with odd characters")
    return (tools[0] if tools else None), glued


def _channel(marked: list[str], author: list[str], recipient: str | None, repairs: list[str]) -> Channel:
    """The channel; the words that name it are taken out of those after its marker, or of the author part."""
    for words in (marked, author):
        named = [*takewhile(_named, words)]
        if not named:
            continue
        del words[: len(named)]
        channels = [channel for word in named for channel in _named(word)]
        # A header of two minds is not final.
        channel = next((c for c in channels if c is not Channel.FINAL), Channel.FINAL)
        if named != [channel.value]:
            repairs.append(f"the channel {' '.join(named)!r} was read as {channel.value}")
        elif words is author:
            repairs.append(f"the channel {channel.value} was read without its marker")
        return channel
    if recipient is not None:
        repairs.append("a call without a channel")
        return Channel.ANALYSIS if recipient.split(".", maxsplit=1)[0] in _BUILT_IN else Channel.COMMENTARY
    if not marked and not author:
        repairs.append("a message without a channel was read as the answer")
        return Channel.FINAL
    unknown = " ".join(marked or author)
    marked.clear() if marked else author.clear()
    repairs.append(f"the unknown channel {unknown!r} was read as commentary")
    return Channel.COMMENTARY


def _named(word: str) -> list[Channel]:
    """The channels that a word names; none unless it begins with one.

    `analysis` and `commentary` may have lost their end or have something glued to them. `final` may not, but
    for being doubled or followed by something that is no letter: what is doubtful is no answer.
    """
    letters = re.findall(r"[a-z]+", word.lower())
    if not letters or not word.lower().startswith(letters[0]):
        return []
    channels = [_mended(run) for run in letters]
    return [channel for channel in channels if channel] if channels[0] else []


def _mended(word: str) -> Channel | None:
    if re.fullmatch(r"(final)+", word):
        return Channel.FINAL
    for channel in (Channel.ANALYSIS, Channel.COMMENTARY):
        if word.startswith(channel.value) or (len(word) >= 4 and channel.value.startswith(word)):
            return channel
    return None


def _content_type(words: dict[str, list[str]], constrained: bool, repairs: list[str]) -> str | None:
    """The content type, taken out of the words."""
    if constrained:
        if words["constrain"] and _TYPE.fullmatch(words["constrain"][0]):
            return CONSTRAIN + words["constrain"].pop(0)
        repairs.append("a constraint without a type was ignored")
    for group in (words["channel"], words[""]):
        if group and group[0] in _BARE_TYPES:
            return group.pop(0)
    return None
