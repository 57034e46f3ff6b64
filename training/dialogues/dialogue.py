"""Whole dialogues: a setting (system and developer message) and turns that mix the skills."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from gptoss_tui.harmony.message import (
    Conversation,
    DeveloperPrompt,
    Effort,
    Message,
    Role,
    SystemPrompt,
)

from . import (
    arithmetic,
    browsing,
    called,
    facts,
    names,
    programs,
    refusal,
    repeat,
    schema,
    smalltalk,
    unknown,
)
from .declared import DeclaredFunction, invent_functions
from .scene import Scene
from .turn import DialogueTurn

Skill = Callable[[Scene], DialogueTurn]

SKILLS: dict[Skill, float] = {
    arithmetic.calculate: 105,
    programs.program: 65,
    names.tell: 28,
    names.ask: 15,
    facts.learn: 44,
    facts.recall: 60,
    unknown.wonder: 50,
    refusal.refuse: 64,
    refusal.sound_harmful: 60,
    repeat.repeat: 3,
    smalltalk.greet: 9,
    smalltalk.identify: 9,
    smalltalk.abilities: 9,
    smalltalk.thank: 16,
    smalltalk.part: 3,
    smalltalk.feel: 2,
    smalltalk.acknowledge: 4,
    called.no_such_function: 2,
}
"""The skills of any conversation, with their frequencies."""

WITH_FUNCTIONS: dict[Skill, float] = {called.call_function: 380, called.several: 90}
WITH_PYTHON: dict[Skill, float] = {called.several: 45}
WITH_BROWSER: dict[Skill, float] = {browsing.search: 220}
IN_JSON: dict[Skill, float] = {schema.fill: 80, schema.compute: 20}
"""Skills that are added where they are possible; if answers must be JSON, those of `IN_JSON` alone."""

INSTRUCTIONS = (
    "Be brief.",
    "You are a helpful assistant.",
    "Answer in one sentence.",
    "Be polite.",
    "Talk like a pirate.",
    "Always answer in English.",
    "You are a friendly tutor for children.",
    "Use Markdown where it helps.",
    "Never use emojis.",
    "You are an expert programmer. Explain your steps.",
    "Be concise and accurate. Say when you are not sure.",
    "Keep your answers short and simple.",
)


@dataclass(frozen=True, slots=True)
class Setting:
    """The messages before the first user message."""

    system: SystemPrompt
    developer: DeveloperPrompt
    functions: tuple[DeclaredFunction, ...] = ()

    def scene(self, rng: random.Random, *, held_out: bool = False, unseen: float = 0.0) -> Scene:
        """The scene at the beginning of a conversation in this setting."""
        return Scene(
            rng,
            self.system.effort,
            self.system.python,
            self.system.browser,
            self.functions,
            next(iter(self.developer.response_formats), None),
            held_out,
            unseen,
        )

    def skills(self) -> dict[Skill, float]:
        """The skills that may be asked for here, with their frequencies."""
        if self.developer.response_formats:
            return IN_JSON
        possible = dict(SKILLS)
        for is_possible, more in (
            (self.system.python, WITH_PYTHON),
            (bool(self.functions), WITH_FUNCTIONS),
            (self.system.browser, WITH_BROWSER),
        ):
            if is_possible:
                possible |= more
        return possible


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A setting and the turns after it; the model learns the last one."""

    setting: Setting
    turns: tuple[DialogueTurn, ...]

    @property
    def turn(self) -> DialogueTurn:
        """The last turn."""
        return self.turns[-1]

    @property
    def history(self) -> list[Message]:
        """Every message before the last turn, as the product stores them."""
        return [message for turn in self.turns[:-1] for message in turn.transcript()]

    def prompt(self) -> Conversation:
        """The conversation in the prompt of the last turn."""
        messages = [*self.history, Message(Role.USER, self.turn.user)]
        return Conversation(self.setting.system, self.setting.developer, messages)


USUAL_FUNCTIONS, PRACTISED_FUNCTIONS = (1, 1, 2, 2, 3, 4), (1, 2, 3, 3, 4, 4)
"""Numbers of functions that people declare, and that training does: one alone teaches no choice."""


def invent_setting(rng: random.Random, functions: tuple[int, ...] = USUAL_FUNCTIONS) -> Setting:
    """Effort, date, tools and developer message with which people start gptoss-chat."""
    year, month, day = rng.randint(2024, 2032), rng.randint(1, 12), rng.randint(1, 28)
    system = SystemPrompt(
        effort=rng.choices(list(Effort), (4, 4, 2))[0],
        date=f"{year}-{month:02}-{day:02}" if rng.random() < 0.85 else None,
        browser=rng.random() < 0.3,
        python=rng.random() < 0.68,
    )
    instructions = rng.choice(INSTRUCTIONS) if rng.random() < 0.2 else ""
    kind = rng.random()
    if kind < 0.15:
        shape = schema.invent_format(rng)
        return Setting(system, DeveloperPrompt(instructions, (), (shape,)))
    if kind < 0.65:
        declared = invent_functions(rng, rng.choice(functions))
        told = tuple(one.function for one in declared)
        return Setting(system, DeveloperPrompt(instructions, told), declared)
    return Setting(system, DeveloperPrompt(instructions))


def invent_dialogue(
    rng: random.Random,
    setting: Setting,
    *,
    held_out: bool = False,
    unseen: float = 0.0,
    skill: Skill | None = None,
    turns: int | None = None,
) -> Dialogue:
    """A dialogue of `turns` turns (drawn if None) whose last one is of `skill` (drawn if None)."""
    scene = setting.scene(rng, held_out=held_out, unseen=unseen)
    possible = setting.skills()
    last = skill or _draw(rng, possible)
    remembers = last in (names.ask, facts.recall)
    count = turns or rng.choices((1, 2, 3, 4, 5, 6, 8), (10 if remembers else 55, 20, 14, 10, 7, 5, 1))[0]
    played: list[DialogueTurn] = []
    named = 0.8 if last is names.ask else 0.25 if last is facts.recall else 0
    introduced = rng.randrange(count - 1) if count > 1 and rng.random() < named else -1
    for i in range(count - 1):
        if i == introduced:
            before: Skill = names.tell
        elif last is facts.recall and rng.random() < 0.6:
            before = facts.learn
        else:
            before = _draw(rng, possible)
        played.append(before(scene))
        scene.turns += 1
    return Dialogue(setting, (*played, last(scene)))


def _draw(rng: random.Random, skills: dict[Skill, float]) -> Skill:
    return rng.choices(list(skills), list(skills.values()))[0]
