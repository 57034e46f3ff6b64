"""The scene of a turn, the choice of a phrasing, and a turn without tools."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from gptoss_tui.harmony.message import Effort, Message, ResponseFormat

from .declared import DeclaredFunction
from .phrasing import Grid, is_unseen
from .turn import answer, think


@dataclass(slots=True)
class Scene:
    """The state from which a skill writes its turn.

    `name` and `facts` are those that the person has told so far, `pages` is the number of pages that the
    browser has shown. `unseen` is the share of phrasings held out of training, for evaluation.
    """

    rng: random.Random
    effort: Effort
    python: bool
    browser: bool = False
    functions: tuple[DeclaredFunction, ...] = ()
    response_format: ResponseFormat | None = None
    held_out: bool = False
    unseen: float = 0.0
    name: str | None = None
    facts: dict[str, str] = field(default_factory=dict)
    pages: int = 0
    turns: int = 0


def pick(scene: Scene, phrasings: Sequence[str]) -> str:
    """One of the phrasings in training, or, for the share `unseen`, one that is held out."""
    unseen = scene.rng.random() < scene.unseen
    side = [phrasing for phrasing in phrasings if is_unseen(phrasing) is unseen]
    return scene.rng.choice(side or list(phrasings))


def phrase(scene: Scene, written: Sequence[str], grids: Sequence[Grid]) -> str:
    """A phrasing: one written by hand or, in half of training, one composed from a grid.

    Evaluation draws only from phrasings written by hand, which no grid composes on the side of training.
    """
    rng = scene.rng
    if scene.held_out or rng.random() < 0.5:
        return pick(scene, written)
    unseen = rng.random() < scene.unseen
    while True:
        composed = "".join(rng.choice(pieces) for pieces in rng.choice(grids))
        if is_unseen(composed) is unseen:
            return composed


def respond(scene: Scene, thoughts: dict[Effort, str], final: str) -> tuple[Message, ...]:
    """A turn without tools: the thought for the scene's effort, then the answer."""
    return think(thoughts[scene.effort]), answer(final)
