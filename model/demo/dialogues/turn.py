"""What one synthetic turn is, and how a text marks the spans that the model has to copy."""

from __future__ import annotations

import random
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from gptoss_tui.harmony.message import Channel, Effort, Message, ResponseFormat, Role

if TYPE_CHECKING:
    from .declared import Declared

# Private-use characters around a copied span: they never reach the tokenizer.
COPY_BEGIN, COPY_END = "\ue000", "\ue001"


@dataclass(slots=True)
class Scene:
    """What a skill may look at while it writes its turn.

    `name` and `facts` are what the person said so far, `pages` how many pages the browser has shown.
    `unseen` is the share of phrasings that training never sees, for evaluation.
    """

    rng: random.Random
    effort: Effort
    python: bool
    browser: bool = False
    functions: tuple[Declared, ...] = ()
    response_format: ResponseFormat | None = None
    held_out: bool = False
    unseen: float = 0.0
    name: str | None = None
    facts: dict[str, str] = field(default_factory=dict)
    pages: int = 0
    turns: int = 0


@dataclass(frozen=True, slots=True)
class Turn:
    """What the person says and everything that follows until the final answer.

    `documents` are the files, by name, in which a search would find what it finds here.
    """

    skill: str
    user: str
    messages: tuple[Message, ...]
    documents: Mapping[str, str] = field(default_factory=dict)

    def transcript(self) -> list[Message]:
        """The turn's messages from the person's on, without marks."""
        return [Message(Role.USER, self.user), *map(unmarked, self.messages)]

    @property
    def final(self) -> str:
        """The wanted answer."""
        return plain(self.messages[-1].text)


def words(text: str) -> list[str]:
    """The words of a long literal."""
    return text.split()


def phrases(text: str) -> list[str]:
    """The phrases of a long literal: between bars, line ends ignored."""
    return text.replace("\n", "").strip("|").split("|")


def copied(text: str) -> str:
    """Mark `text` as something the model must copy from its context, exactly."""
    return f"{COPY_BEGIN}{text}{COPY_END}"


def plain(text: str) -> str:
    """The text without marks."""
    return text.replace(COPY_BEGIN, "").replace(COPY_END, "")


def unmarked(message: Message) -> Message:
    """The message without marks."""
    return replace(message, text=plain(message.text))


def is_held_out(content: str) -> bool:
    """Whether a name, a number, an expression is kept out of training: one in ten, by checksum."""
    return zlib.crc32(content.lower().encode()) % 10 == 0


_SALT = "phrasing 2401: "


def is_unseen(phrasing: str) -> bool:
    """Whether a phrasing is kept out of training: one in ten, by checksum."""
    return zlib.crc32(f"{_SALT}{phrasing.lower().rstrip('.?! ')}".encode()) % 10 == 0


def pick(scene: Scene, phrasings: Sequence[str]) -> str:
    """One of the phrasings that training sees, or, for the share `unseen`, one that it does not."""
    unseen = scene.rng.random() < scene.unseen
    side = [phrasing for phrasing in phrasings if is_unseen(phrasing) is unseen]
    return scene.rng.choice(side or list(phrasings))


Grid = tuple[Sequence[str], ...]
"""Columns of pieces: one of each, one after the other, is a phrasing."""


def column(text: str) -> tuple[str, ...]:
    """The pieces of a column that may also be left out."""
    return ("", *phrases(text))


def phrase(scene: Scene, written: Sequence[str], grids: Sequence[Grid]) -> str:
    """A phrasing: one of those written by hand or, in half of training, one that a grid puts together.

    Evaluation draws from those written by hand alone, which no grid gives on the side that training sees.
    """
    rng = scene.rng
    if scene.held_out or rng.random() < 0.5:
        return pick(scene, written)
    unseen = rng.random() < scene.unseen
    while True:
        composed = "".join(rng.choice(pieces) for pieces in rng.choice(grids))
        if is_unseen(composed) is unseen:
            return composed


def think(text: str) -> Message:
    """One message of the chain of thought."""
    return Message(Role.ASSISTANT, text, channel=Channel.ANALYSIS)


def answer(text: str) -> Message:
    """The final answer."""
    return Message(Role.ASSISTANT, text, channel=Channel.FINAL)


def respond(scene: Scene, thoughts: dict[Effort, str], final: str) -> tuple[Message, ...]:
    """A turn without tools: the thought of the scene's effort, then the answer."""
    return think(thoughts[scene.effort]), answer(final)


def efforts(task: str, medium: str, high: str) -> dict[Effort, str]:
    """The three lengths of one thought: it names the task first, so that what to do and how long to think
    about it are decided one after the other."""
    return {Effort.LOW: task, Effort.MEDIUM: f"{task} {medium}", Effort.HIGH: f"{task} Let me think. {high}"}


def casual(rng: random.Random, text: str) -> str:
    """The text as people type it: sometimes all lower case, sometimes without its last mark."""
    if rng.random() < 0.4:
        text = text.lower()
    elif rng.random() < 0.1:
        text = text[:1].upper() + text[1:]
    if text and text[-1] in ".?!" and rng.random() < 0.4:
        text = text[:-1]
    elif text and text[-1].isalnum() and rng.random() < 0.15:
        text += rng.choice(".?!")
    return text
