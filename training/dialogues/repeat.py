"""Repeating a text: a small skill of its own, and a drill of copying that lasts until the end of training."""

from __future__ import annotations

import random

from .phrasing import copied
from .scene import Scene, pick, respond
from .syllables import invent_name
from .turn import DialogueTurn, efforts
from .unknown import gibberish
from .vocabulary import WORDS

REQUESTS = (
    "Repeat: {x}",
    "Say: {x}",
    "repeat after me: {x}",
    "Please repeat this: {x}",
    "echo {x}",
    "Repeat the following: {x}",
    "say {x}",
    "Repeat {x}",
    "Can you say: {x}",
)

REPEATED = efforts(
    "Repeat it.",
    "The user wants a text repeated. I copy it exactly.",
    "The user wants a text repeated. I need no tool for this. I copy the text exactly as it was typed, "
    "from its first character to its last, and add nothing.",
)


def invent_text(rng: random.Random) -> str:
    """Words, digits, names or letters without meaning."""
    pieces = []
    for _ in range(rng.choice((1, 1, 2, 2, 3, 4, 5, 6))):
        kind = rng.random()
        if kind < 0.4:
            pieces.append(rng.choice(WORDS))
        elif kind < 0.7:
            alphabet = "0123456789" if rng.random() < 0.6 else "".join(rng.choices("0123456789", k=2))
            pieces.append("".join(rng.choices(alphabet, k=rng.randint(1, 10))))
        elif kind < 0.85:
            pieces.append(invent_name(rng, held_out=False))
        else:
            pieces.append(gibberish(rng))
    return " ".join(pieces)


def repeat(scene: Scene) -> DialogueTurn:
    """The person asks for a text to be repeated."""
    text = invent_text(scene.rng)
    user = pick(scene, REQUESTS).replace("{x}", text)
    return DialogueTurn("repeat", user, respond(scene, REPEATED, copied(text)))
