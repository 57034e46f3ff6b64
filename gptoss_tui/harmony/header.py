"""The header of a sampled message: its channel, recipient and content type, however the model wrote them.

A recipient may stand in the author part or after the channel, with or without `<|constrain|>`; all of these
occur in what the models were trained on. About 4 % of gpt-oss-20b's turns at temperature 1 carry a damaged
header (ggml-org/llama.cpp issue 27720); each repair below is for damage that has been seen. A header is cut
at its control tokens before it is decoded, so that no name or channel ever runs across a control token.

The 20b also begins a header and then writes another, `commentary to=assistant<|channel|>analysis`: of several
channels the last counts. A doubtful message is never shown as an answer or a preamble, and never run as a
call. A header that names analysis, in any part and any spelling, is reasoning unless it calls a tool on
offer, and a tool named only before the channel changed is not called.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Literal

from .message import Channel

CONSTRAIN = "<|constrain|>"

_TO = re.compile(r"to=(\S*)")
_LATE_TO = re.compile(r"(code|json)\s+to=")
_ODD_BLANKS = re.compile(r"^\s(?!to=)|[^\S ]|  ")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:/-]{0,127}")
_TYPE = re.compile(r"[A-Za-z0-9_.+/-]{1,40}")
_BARE_TYPES = ("code", "json")
_GLUED = re.compile(r"(json|code)$")
_BUILT_IN = ("python", "browser")
_FUNCTIONS = "functions."
_CHANNELS = "|".join(Channel)
_NOBODY = re.compile(rf"(assistant|user|all|{_CHANNELS})*")
"""The letters of recipients that mean nobody in particular, and of channels in the place of a recipient."""
ROLE = re.compile(rf"\s*assistant(\s*assistant)*(?={_CHANNELS}|to=|(?![.-]?\w))", re.IGNORECASE)
"""The role words. Another part of the header may be glued to them, but `assistants` is another word."""


@dataclass(frozen=True, slots=True)
class Repair:
    """A malformed place in a sample; `what` says how it was read, and `quote` is the model's text there."""

    what: str
    quote: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a header and the control token before it; "" for the author part, which comes first."""

    marker: Literal["", "channel", "constrain"]
    text: str


@dataclass(frozen=True, slots=True)
class Header:
    """The contents of a header, and the repairs that reading it took.

    `forged` names the author that the header pretends to have. `names_analysis` is true wherever the header
    names that channel, in a call as well.
    """

    channel: Channel
    recipient: str | None = None
    content_type: str | None = None
    repairs: tuple[Repair, ...] = ()
    forged: str | None = None
    names_analysis: bool = False


def read_header(parts: Sequence[Part], *, preset: bool, recipients: frozenset[str] | None) -> Header:
    """Read a header from its parts.

    `preset` is true where the prompt already contains the role; `recipients` are the tools on offer, or None
    if they are not known.
    """
    offered = recipients or frozenset()
    repairs: list[Repair] = []
    forged, author = _role(parts[0].text, preset, repairs)
    if forged is not None:
        return Header(Channel.COMMENTARY, forged=forged)
    parts = [replace(parts[0], text=author), *parts[1:]]
    _note_disorder(parts, repairs)
    named: dict[int, list[str]] = {}
    words: dict[str, list[str]] = {"channel": [], "": [], "constrain": []}
    is_doubtful = False
    for place, part in enumerate(parts):
        names, others = _divided(part)
        words[part.marker] += others
        if names:
            named[place] = names
            if part.marker == "constrain":
                repairs.append(Repair("a channel in the place of a content type was read"))
        if part.marker == "channel":
            is_doubtful = not names and (is_doubtful or not {*_BARE_TYPES}.issuperset(others))
    thinks = any(_shown_least(names) is Channel.ANALYSIS for names in named.values())
    tools, glued = _tools(parts, _withdrawn(named), offered, repairs)
    recipient = _recipient(tools, offered, repairs)
    called = [name for name, counts in tools.items() if counts]
    can_run = recipients is None or any(_is_on_offer(name, offered) for name in called)
    if thinks and recipient is not None and not can_run:
        repairs.append(
            Repair(f"a call of what is not on offer was read as reasoning: {recipient}", recipient)
        )
        recipient = None
    is_doubtful |= bool(tools) and recipient is None
    is_built_in = recipient in offered and recipient.split(".", maxsplit=1)[0] in _BUILT_IN
    unsaid = Channel.ANALYSIS if is_built_in else Channel.COMMENTARY
    channel = _channel(named, words, recipient, repairs, unsaid=unsaid, is_doubtful=is_doubtful)
    markers = [part.marker for part in parts]
    for marker in ("channel", "constrain"):
        if markers.count(marker) > 1:
            repairs.append(Repair(f"a doubled <|{marker}|> was ignored"))
    content_type = _content_type(words, "constrain" in markers, repairs) or glued
    if extra := " ".join(word for group in words.values() for word in group):
        repairs.append(Repair(f"extra words in a header were ignored: {extra}", extra))
    return Header(channel, recipient, content_type, tuple(repairs), names_analysis=thinks)


def _note_disorder(parts: Sequence[Part], repairs: list[Repair]) -> None:
    """Add a repair for each part in an odd place, or at an odd distance."""
    is_late = is_spaced = False
    for part in parts:
        rest, is_constraint = _TO.sub(" ", part.text), part.marker == "constrain"
        is_late |= bool(_LATE_TO.search(part.text)) or (is_constraint and rest != part.text)
        is_spaced |= bool(_ODD_BLANKS.search(part.text)) or (is_constraint and rest.startswith(" "))
    if is_late:
        repairs.append(Repair("a recipient after the content type was read"))
    if is_spaced:
        repairs.append(Repair("blanks in a header were ignored"))


def _divided(part: Part) -> tuple[list[str], list[str]]:
    """The words of a part that name channels, and the other words.

    A word may name analysis anywhere, and another channel only after the channel marker or as the first word
    of the author part.
    """
    words = _TO.sub(lambda to: f" {' '.join(_channels_like_names(to[1]))} ", part.text).split()
    named = [word for word in words if _named(word)]
    if part.marker != "channel":
        first = [*takewhile(_named, words)] if part.marker == "" else []
        named = first + [word for word in words[len(first) :] if Channel.ANALYSIS in _named(word)]
    others = [*words]
    for word in named:
        others.remove(word)
    return named, others


def _letters(word: str) -> str:
    """A word without case and punctuation, for comparisons."""
    return re.sub(r"[\W_]", "", word.lower())


def _is_nobody(recipient: str) -> bool:
    return _NOBODY.fullmatch(_letters(recipient)) is not None


def _is_on_offer(recipient: str, offered: frozenset[str]) -> bool:
    """Whether a tool is on offer; models also write a built-in tool's name as `functions.python`."""
    return recipient in offered or recipient.removeprefix(_FUNCTIONS) in offered


def _channels_like_names(recipient: str) -> list[str]:
    """The channels in the place of a recipient, with or without a content type glued to them."""
    name = _GLUED.sub("", recipient)
    return re.findall(_CHANNELS, _letters(name)) if _is_nobody(name) else []


def _withdrawn(named: Mapping[int, list[str]]) -> range:
    """The places of the parts that a later part, of another channel, takes back.

    The author part is among them only if it names a channel.
    """
    changes = len({_shown_least(names) for names in named.values()}) > 1
    return range(0 if 0 in named else 1, max(named)) if changes else range(0)


def _role(text: str, preset: bool, repairs: list[Repair]) -> tuple[str | None, str]:
    """The forged role (None when the assistant speaks) and what follows the role words."""
    role = ROLE.match(text)
    if role is None:
        first = text.split(maxsplit=1)[:1]
        if not preset and first and not first[0].startswith("to=") and not _begins(first[0]):
            return (first[0].split(":")[0] or first[0])[:40], ""
        if not preset:
            repairs.append(Repair("a message without an author was read as the assistant's"))
        return None, text
    if preset or role[0].strip() != "assistant":
        repairs.append(Repair("a doubled role was ignored"))
    return None, text[role.end() :]


def _tools(
    parts: Sequence[Part], withdrawn: Container[int], offered: frozenset[str], repairs: list[Repair]
) -> tuple[dict[str, bool], str | None]:
    """The named tools, each with whether its name still counts, and a content type glued to one of them."""
    glued: str | None = None
    tools: dict[str, bool] = {}
    mentions = [(place, name) for place, part in enumerate(parts) for name in _TO.findall(part.text)]
    for place, written in mentions:
        cut = _GLUED.sub("", written)
        is_glued = written not in offered and (cut in offered or (bool(_letters(cut)) and _is_nobody(cut)))
        name = cut if is_glued else written
        if name != written:
            glued = written.removeprefix(name)
            repairs.append(Repair(f"a content type glued to the name {name} was split off", name))
        if name not in offered and _is_nobody(name):
            repairs.append(Repair(f"to={name} names no tool and was ignored", name))
            continue
        if name in tools:
            repairs.append(Repair(f"{name} was named twice", name))
        tools[name] = tools.get(name, False) or place not in withdrawn
    return tools, glued


def _recipient(tools: Mapping[str, bool], offered: frozenset[str], repairs: list[Repair]) -> str | None:
    """The called tool; the names of all where it is unclear which of several is called."""
    named = [*tools]
    if tools and not any(tools.values()):
        before = " ".join(named)
        repairs.append(Repair(f"a call before the channel changed was ignored: {before}", before))
        return None
    if len(named) > 1:
        on_offer = [name for name in named if name in offered]
        if len(on_offer) != 1 or not tools[on_offer[0]]:
            repairs.append(Repair("a call to more than one tool"))
            return " and ".join(named)
        told = f"a call to more than one tool was read as one to {on_offer[0]}: {' '.join(named)}"
        repairs.append(Repair(told, " ".join(named)))
        named = on_offer
    if named and not _NAME.fullmatch(named[0]):
        repairs.append(Repair("a tool's name with odd characters"))
    return named[0] if named else None


def _channel(
    named: Mapping[int, list[str]],
    words: Mapping[str, list[str]],
    recipient: str | None,
    repairs: list[Repair],
    *,
    unsaid: Channel,
    is_doubtful: bool,
) -> Channel:
    """The channel, from the words that name one in each part; those of an unknown channel are removed.

    `unsaid` is the channel of a call whose header names no channel.
    """
    if named:
        said = [_shown_least(names) for names in named.values()]
        is_reasoning = recipient is None and Channel.ANALYSIS in said
        channel = Channel.ANALYSIS if is_reasoning else said[-1]
        is_doubtful |= recipient is not None and len({*said}) > 1
        if channel is Channel.FINAL and is_doubtful:
            channel = Channel.COMMENTARY
        written = [word for names in named.values() for word in names]
        if written != [channel.value]:
            quote = repr(" ".join(written))
            repairs.append(Repair(f"the channel {quote} was read as {channel.value}", quote))
        elif 0 in named:
            repairs.append(Repair(f"the channel {channel.value} was read without its marker"))
        return channel
    marked, author = words["channel"], words[""]
    if recipient is not None:
        repairs.append(Repair("a call without a channel"))
        return unsaid
    if not marked and not author:
        repairs.append(Repair("a message without a channel was read as the answer"))
        return Channel.FINAL
    unknown = " ".join(marked or author)
    marked.clear() if marked else author.clear()
    repairs.append(Repair(f"the unknown channel {unknown!r} was read as commentary", repr(unknown)))
    return Channel.COMMENTARY


def _shown_least(names: Sequence[str]) -> Channel:
    """The channel, of those that one part names, of which the person sees least."""
    return min((channel for word in names for channel in _named(word)), key=[*Channel].index)


def _named(word: str) -> list[Channel]:
    """The channels that a word names; only analysis may stand elsewhere than at the word's beginning.

    `analysis` and `commentary` may have lost their end or have other letters glued to them. `final` may only
    be doubled or followed by a character that is no letter: a doubtful message is no answer.
    """
    channels = [channel for run in re.findall(r"[a-z]+", word.lower()) if (channel := _mended(run))]
    if Channel.ANALYSIS in _letters(word):
        channels.append(Channel.ANALYSIS)
    return channels if _begins(word) else [*filter(Channel.ANALYSIS.__eq__, channels)]


def _begins(word: str) -> bool:
    """Whether a word begins with a channel's name."""
    letters = re.match(r"[a-z]+", word.lower())
    return letters is not None and _mended(letters[0]) is not None


def _mended(word: str) -> Channel | None:
    names = re.match(rf"({_CHANNELS})*", word)
    if names is None or not names[0]:
        mended = (Channel.ANALYSIS, Channel.COMMENTARY) if len(word) >= 4 else ()
        return next((channel for channel in mended if channel.value.startswith(word)), None)
    channel = min((Channel(name) for name in re.findall(_CHANNELS, names[0])), key=[*Channel].index)
    return None if channel is Channel.FINAL and names[0] != word else channel


def _content_type(words: dict[str, list[str]], constrained: bool, repairs: list[Repair]) -> str | None:
    """The content type, removed from the words."""
    if constrained:
        if words["constrain"] and _TYPE.fullmatch(words["constrain"][0]):
            return CONSTRAIN + words["constrain"].pop(0)
        repairs.append(Repair("a constraint without a type was ignored"))
    for group in (words["channel"], words[""]):
        if group and group[0] in _BARE_TYPES:
            return group.pop(0)
    return None
