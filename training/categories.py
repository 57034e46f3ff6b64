"""Held-out dialogues for each ability of the demo model."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from gptoss_tui.harmony.message import DeveloperPrompt, Effort

from .dialogues import (
    Dialogue,
    DialogueTurn,
    Setting,
    arithmetic,
    browsing,
    called,
    facts,
    invent_setting,
    names,
    programs,
    refusal,
    schema,
    smalltalk,
    unknown,
)
from .dialogues.dialogue import Skill
from .dialogues.phrasing import is_held_out
from .dialogues.turn import answer

UNSEEN = 0.25
"""The share of phrasings that training never sees."""

Category = Callable[[random.Random], Dialogue]


def _setting(rng: random.Random, fits: Callable[[Setting], bool]) -> Setting:
    while not fits(setting := invent_setting(rng)):
        pass
    return setting


def _free(setting: Setting) -> bool:
    return not setting.developer.response_formats


def _one(
    rng: random.Random, setting: Setting, skill: Skill, wanted: Callable[[DialogueTurn], bool]
) -> Dialogue:
    """A dialogue of one turn of the skill, drawn again until it is of the wanted variant."""
    while not wanted(turn := skill(setting.scene(rng, held_out=True, unseen=UNSEEN))):
        pass
    return Dialogue(setting, (turn,))


def _of(*variants: str) -> Callable[[DialogueTurn], bool]:
    return lambda turn: turn.skill in variants


def talk(rng: random.Random) -> Dialogue:
    """A greeting, a question about the model, thanks; or facts told and asked for over 3 to 6 turns."""
    setting = _setting(rng, _free)
    scene = setting.scene(rng, held_out=True, unseen=UNSEEN)
    small = (smalltalk.greet, smalltalk.identify, smalltalk.abilities, smalltalk.thank)
    if rng.random() < 0.5:
        return Dialogue(setting, (rng.choice(small)(scene),))
    told = [rng.choice((facts.learn, facts.learn, names.tell)) for _ in range(rng.randint(1, 3))]
    turns = [tell(scene) for tell in told]
    while len(turns) < rng.randint(3, 6):
        ask = names.ask if scene.name and rng.random() < 0.3 else facts.recall
        turns.append(rng.choice((ask, ask, ask, rng.choice(small)))(scene))
    return Dialogue(setting, tuple(turns))


def compute(rng: random.Random) -> Dialogue:
    """Integer and decimal sums through Python."""
    setting = _setting(rng, lambda one: _free(one) and one.system.python)
    return _one(rng, setting, arithmetic.calculate, _of("arithmetic", "name+arithmetic"))


def run(rng: random.Random) -> Dialogue:
    """Other programs: lists, words, code that the person typed."""
    setting = _setting(rng, lambda one: _free(one) and one.system.python)
    return _one(rng, setting, programs.program, _of("program"))


def without_python(rng: random.Random) -> Dialogue:
    """Sums and programs with Python off."""
    setting = _setting(rng, lambda one: _free(one) and not one.system.python)
    return _one(rng, setting, rng.choice((arithmetic.calculate, programs.program)), _of("no-python"))


def look_up(rng: random.Random) -> Dialogue:
    """A search, a page, and a line cited from it."""
    setting = _setting(rng, lambda one: _free(one) and one.system.browser)
    return _one(rng, setting, browsing.search, _of("search"))


def call_function(rng: random.Random) -> Dialogue:
    """A call of an invented function."""
    setting = _setting(rng, lambda one: bool(one.functions))
    return _one(rng, setting, called.call_function, _of("function"))


def several(rng: random.Random) -> Dialogue:
    """A preamble and two or three calls."""
    setting = _setting(rng, lambda one: bool(one.functions) or (_free(one) and one.system.python))
    return _one(rng, setting, called.several, _of("several"))


def error(rng: random.Random) -> Dialogue:
    """An error of a function or of Python, which the model reports or corrects."""
    if rng.random() < 0.5:
        setting = _setting(rng, lambda one: bool(one.functions))
        return _one(rng, setting, called.call_function, _of("function-error"))
    setting = _setting(rng, lambda one: _free(one) and one.system.python)
    return _one(rng, setting, programs.failing, lambda turn: True)


def harmful(rng: random.Random) -> Dialogue:
    """Requests that must be refused."""
    return _one(rng, _setting(rng, _free), refusal.refuse, lambda turn: True)


def harmless(rng: random.Random) -> Dialogue:
    """Requests that must not be refused."""
    return _one(rng, _setting(rng, _free), refusal.sound_harmful, lambda turn: True)


def wonder(rng: random.Random) -> Dialogue:
    """Questions that are beyond the model."""
    return _one(rng, _setting(rng, _free), unknown.wonder, lambda turn: True)


def fill(rng: random.Random) -> Dialogue:
    """JSON for a schema."""
    setting = _setting(rng, lambda one: not _free(one))
    return _one(rng, setting, schema.fill, lambda turn: True)


CATEGORIES: dict[str, Category] = {
    "a talk and memory": talk,
    "b sums with python": compute,
    "b sums without python": without_python,
    "b programs": run,
    "c search and cite": look_up,
    "d unseen functions": call_function,
    "e several calls": several,
    "f errors": error,
    "g harmful": harmful,
    "g harmless": harmless,
    "h unknown": wonder,
    "i JSON": fill,
}


def efforts(rng: random.Random) -> list[Dialogue]:
    """One sum at every effort."""
    dialogue = compute(rng)
    while dialogue.turn.skill != "arithmetic":
        dialogue = compute(rng)
    return [
        replace(
            dialogue,
            setting=replace(dialogue.setting, system=replace(dialogue.setting.system, effort=effort)),
        )
        for effort in Effort
    ]


LONG_TURNS = 110
"""Turns of a long conversation, whose last prompts have more than 4,096 tokens."""

LONG_FACTS = 6
"""Facts in a long conversation, all told early on."""


def long_talk(rng: random.Random) -> Dialogue:
    """Facts told early and asked for repeatedly, with sums and thanks between, until the context is long."""
    setting = _setting(rng, lambda one: _free(one) and one.system.python and not one.functions)
    scene = setting.scene(rng, held_out=True)
    turns = [facts.learn(scene)]
    while len(turns) < LONG_TURNS:
        skill = rng.choice((facts.learn, facts.recall, arithmetic.calculate, smalltalk.thank))
        if skill is facts.learn and len(scene.facts) >= LONG_FACTS:
            continue
        turn = skill(scene)
        if skill is facts.recall and ". " in turn.final:  # of all facts at once
            continue
        if turn.skill == "python-error":  # an accident that does not happen to the real Python
            continue
        turns.append(turn)
        scene.turns += 1
    return Dialogue(setting, tuple(turns))


def plain_sum(rng: random.Random) -> Dialogue:
    """The most common question: two numbers of 1 to 5 digits with +, - or *, held out of training."""
    setting = _setting(rng, lambda one: one.system.python)
    setting = replace(setting, developer=DeveloperPrompt(), functions=())
    while True:
        a, b = (rng.randrange(10 ** (n - 1), 10**n) for n in (rng.randint(1, 5), rng.randint(1, 5)))
        symbol, word = rng.choice((("+", "plus"), ("-", "minus"), ("*", "times")))
        code = f"{a} {symbol} {b}"
        if is_held_out(code):
            break
    typed = rng.choice((code, code, f"{a}{symbol}{b}", f"{a} {word} {b}"))
    user = rng.choice(arithmetic.LEADS).replace("{e}", typed)
    return Dialogue(
        setting, (DialogueTurn("plain sums", user, (answer(f"{code} = {arithmetic.evaluate(code)}"),)),)
    )
