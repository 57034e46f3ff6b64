"""Whole dialogues: a setting (system and developer message) and turns that mix the skills."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from gptoss_tui.harmony.message import (
    Conversation,
    DeveloperPrompt,
    Effort,
    Function,
    Message,
    Role,
    SystemPrompt,
)

from . import arithmetic, names, repeat, smalltalk, unknown
from .turn import Scene, Turn

Skill = Callable[[Scene], Turn]

SKILLS: dict[Skill, float] = {
    arithmetic.calculate: 33,
    names.tell: 11,
    names.ask: 8,
    unknown.wonder: 18,
    repeat.repeat: 4,
    smalltalk.greet: 5,
    smalltalk.identify: 5,
    smalltalk.abilities: 5,
    smalltalk.thank: 3,
    smalltalk.part: 3,
    smalltalk.feel: 2,
    smalltalk.acknowledge: 4,
}

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

FUNCTIONS = (
    Function(
        "get_weather", "Get the weather.", {"type": "object", "properties": {"city": {"type": "string"}}}
    ),
    Function("get_time", "The current time.", None),
    Function("roll_dice", "Roll dice.", {"type": "object", "properties": {"sides": {"type": "integer"}}}),
    Function(
        "search_notes", "Search notes.", {"type": "object", "properties": {"query": {"type": "string"}}}
    ),
)


@dataclass(frozen=True, slots=True)
class Setting:
    """What comes before the first user message."""

    system: SystemPrompt
    developer: DeveloperPrompt


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A setting and the turns that follow it; the model is to learn the last one."""

    setting: Setting
    turns: tuple[Turn, ...]

    @property
    def turn(self) -> Turn:
        """The last turn."""
        return self.turns[-1]

    @property
    def history(self) -> list[Message]:
        """Every message before the last turn, as the product keeps them."""
        return [message for turn in self.turns[:-1] for message in turn.transcript()]

    def prompt(self) -> Conversation:
        """The conversation as the model is shown it when its last turn begins."""
        messages = [*self.history, Message(Role.USER, self.turn.user)]
        return Conversation(self.setting.system, self.setting.developer, messages)


def invent_setting(rng: random.Random) -> Setting:
    """Effort, date, tools and developer message as people start gptoss-chat."""
    year, month, day = rng.randint(2024, 2032), rng.randint(1, 12), rng.randint(1, 28)
    system = SystemPrompt(
        effort=rng.choices(list(Effort), (4, 4, 2))[0],
        date=f"{year}-{month:02}-{day:02}" if rng.random() < 0.85 else None,
        browser=rng.random() < 0.04,
        python=rng.random() < 0.72,
    )
    instructions = rng.choice(INSTRUCTIONS) if rng.random() < 0.2 else ""
    functions = tuple(rng.sample(FUNCTIONS, rng.randint(1, 2))) if rng.random() < 0.08 else ()
    return Setting(system, DeveloperPrompt(instructions, functions))


def invent_dialogue(
    rng: random.Random,
    setting: Setting,
    *,
    held_out: bool = False,
    skill: Skill | None = None,
    turns: int | None = None,
) -> Dialogue:
    """A dialogue of `turns` turns (drawn if None) whose last one is of `skill` (drawn if None)."""
    scene = Scene(rng, setting.system.effort, setting.system.python, held_out)
    last = skill or _draw(rng)
    several = 50 if last is not names.ask else 15
    count = turns or rng.choices((1, 2, 3, 4, 5, 8), (several, 20, 14, 9, 6, 1))[0]
    played: list[Turn] = []
    introduced = rng.randrange(count - 1) if count > 1 and last is names.ask and rng.random() < 0.8 else -1
    for i in range(count - 1):
        played.append(names.tell(scene) if i == introduced else _draw(rng)(scene))
        scene.turns += 1
    return Dialogue(setting, (*played, last(scene)))


def _draw(rng: random.Random) -> Skill:
    return rng.choices(list(SKILLS), list(SKILLS.values()))[0]
