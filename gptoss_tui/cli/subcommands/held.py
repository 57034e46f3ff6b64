"""The conversation to look at, with what its model was told."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from ...assemble.assemble import open_session
from ...events.events import ToolsNotice
from ...harmony.message import Conversation, DeveloperPrompt, Message, Role, SystemPrompt
from ...history.archive import Recovered
from ...history.record import Record
from ...history.sampled import Sampled
from ...permissions.question import Nobody
from ...plain.show import complain
from ...settings import Settings, SettingsError
from .page import count

SETTING_UP = frozenset({"effort", "tools", "functions", "mcp", "instructions", "schema"})
"""The settings that change what the model is told."""


@dataclass(frozen=True, slots=True)
class Held:
    """A conversation, the model it was held with, the samples in it, and what must be said beside them."""

    conversation: Conversation
    model: str
    sampled: tuple[Sampled, ...] = ()
    note: str = ""
    damage: str = ""


def begin(settings: Settings, question: str) -> Held:
    """A new conversation, as the settings would begin it; raises AgentError and SettingsError."""
    question = question.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if not question.strip():
        raise SettingsError("the prompt is empty")
    conversation = _begun(settings)
    conversation.messages.append(Message(Role.USER, question))
    return Held(conversation, settings.model)


def take_up(kept: Recovered, settings: Settings, flags: frozenset[str]) -> Held:
    """A stored conversation as its model was told it last, but for the settings named in `flags`.

    Raises ChatError when those cannot be used.
    """
    session = kept.session
    model = settings.model if "model" in flags else session.model
    system, developer, note = SystemPrompt(date=session.date), DeveloperPrompt(), ""
    if kept.sampled:
        system, developer = kept.sampled[-1].system, kept.sampled[-1].developer
    else:
        flags = SETTING_UP
        settings = replace(settings, instructions=settings.instructions or session.instructions)
        note = "How it was set up was not kept with this conversation: the present settings are shown."
    if not flags.isdisjoint(SETTING_UP):
        present = _begun(replace(settings, model=model))
        if "effort" in flags:
            system = replace(system, effort=present.system.effort)
        if "tools" in flags:
            system = replace(system, python=present.system.python)
        if "instructions" in flags:
            developer = replace(developer, instructions=present.developer.instructions)
        if flags & {"functions", "mcp"}:
            developer = replace(developer, functions=present.developer.functions)
        if "schema" in flags:
            developer = replace(developer, response_formats=present.developer.response_formats)
    if kept.elsewhere:
        note = f"{note} Left out: {count(kept.elsewhere, 'message')} on other paths.".lstrip()
    conversation = Conversation(system, developer)
    Record(None, model, conversation).resume(session)
    return Held(conversation, model, kept.sampled, note, kept.damage)


def _begun(settings: Settings) -> Conversation:
    """A conversation as the settings begin it, told of all tools there are; raises AgentError."""

    async def begun() -> Conversation:
        session = open_session(settings, Nobody())
        try:
            async for event in session.equip():
                if isinstance(event, ToolsNotice):
                    complain(event.message)
            return session.conversation
        finally:
            await session.runtime.close()

    return asyncio.run(begun())
