"""The conversation that a subcommand inspects, with the settings that its model was given."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from ...agent.context import shown
from ...assemble.assemble import open_session
from ...events.events import ToolsNotice
from ...harmony.message import Conversation, DeveloperPrompt, Message, Role, SystemPrompt
from ...history.archive import Recovered
from ...history.record import Record
from ...history.sampled import Sampled
from ...permissions.question import Nobody
from ...plain.show import complain
from ...settings import Settings, SettingsError
from .formatter import count

PROMPT_SETTINGS = frozenset({"effort", "tools", "functions", "mcp", "instructions", "schema"})
"""The settings that change the system prompt or the developer prompt."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """A conversation, its model and its samples.

    `note` is a remark for the person, `damage` says what of the stored conversation could not be read.
    """

    conversation: Conversation
    model: str
    sampled: tuple[Sampled, ...] = ()
    note: str = ""
    damage: str = ""


def begin(settings: Settings, question: str) -> Inspection:
    """A new conversation under `settings`, with the question in it; raises AgentError and SettingsError."""
    question = question.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if not question.strip():
        raise SettingsError("the prompt is empty")
    conversation = _new_conversation(settings)
    conversation.messages.append(Message(Role.USER, question))
    return Inspection(conversation, settings.model)


def resume(recovered: Recovered, settings: Settings, flags: frozenset[str]) -> Inspection:
    """A stored conversation with the prompts of its last sample; the settings in `flags` replace theirs.

    Raises AgentError when these settings cannot be used.
    """
    session = recovered.session
    model = settings.model if "model" in flags else session.model
    system, developer, note = SystemPrompt(date=session.date), DeveloperPrompt(), ""
    if recovered.sampled:
        system, developer = recovered.sampled[-1].system, recovered.sampled[-1].developer
    else:
        flags = PROMPT_SETTINGS
        settings = replace(settings, instructions=settings.instructions or session.instructions)
        note = "How it was set up was not kept with this conversation: the present settings are shown."
    if not flags.isdisjoint(PROMPT_SETTINGS):
        present = _new_conversation(replace(settings, model=model))
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
    if recovered.elsewhere:
        note = f"{note} Left out: {count(recovered.elsewhere, 'message')} on other paths.".lstrip()
    conversation = Conversation(system, developer)
    record = Record(None, model, conversation)
    record.resume(session)
    if record.cuts:
        whole = len(conversation.messages)
        conversation.messages[:] = shown(conversation.messages, record.cuts[-1])
        remark = f"Of {count(whole, 'message')}, the model is not shown all; gptoss-chat export has them."
        note = f"{note} {remark}".lstrip()
    return Inspection(conversation, model, recovered.sampled, note, recovered.damage)


def _new_conversation(settings: Settings) -> Conversation:
    """An empty conversation under `settings`, with all its tools; raises AgentError."""

    async def conversation() -> Conversation:
        session = open_session(settings, Nobody())
        try:
            async for event in session.equip():
                if isinstance(event, ToolsNotice):
                    complain(event.message)
            return session.conversation
        finally:
            await session.runtime.close()

    return asyncio.run(conversation())
