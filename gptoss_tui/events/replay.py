"""The events of a stored conversation, so that front ends show it by the same code as a new one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from ..harmony.message import Channel, Message, Role
from . import events
from .endings import ending_of
from .events import Event


def replay(
    messages: Sequence[Message],
    reasoning: Callable[[str], list[Event]],
    endings: Mapping[int, str] = MappingProxyType({}),
    between: Mapping[int, Sequence[Event]] = MappingProxyType({}),
) -> list[tuple[str, list[Event]]]:
    """Each turn of the history: the person's message, and the events of what followed.

    `reasoning` gives the events for a message of raw analysis. `endings` tell how turns ended otherwise than
    with an answer, by the number of messages up to there, and `between` are other events, in the same way.
    """
    turns: list[tuple[str, list[Event]]] = []
    call_id = ""
    for place, message in enumerate(messages):
        if turns:
            turns[-1][1].extend([*between.get(place, ()), *_ended(endings.get(place, ""))])
        if message.role is Role.USER:
            turns.append((message.text, []))
            continue
        if not turns:
            continue
        events_of_turn = turns[-1][1]
        match message:
            case Message(role=Role.TOOL, text=text):
                events_of_turn.append(events.ToolOutput(call_id, text, text.startswith("[ERROR]"), 0.0))
            case Message(recipient=str(recipient), text=text):
                call_id = f"past_{place}"
                events_of_turn.append(events.ToolCall(call_id, recipient, text))
            case Message(channel=Channel.ANALYSIS, text=text):
                events_of_turn += reasoning(text)
            case Message(channel=Channel.COMMENTARY, text=text):
                events_of_turn.append(events.PreambleDelta(text))
            case Message(text=text):
                events_of_turn.append(events.OutputDelta(text))
    if turns:
        end = len(messages)
        turns[-1][1].extend([*between.get(end, ()), *_ended(endings.get(end, ""))])
    return turns


def _ended(name: str) -> list[Event]:
    """The event of an ending, where it is one of ours."""
    ending = ending_of(name)
    return [events.Incomplete(ending, "", "", events.Usage(), events.Timings())] if ending else []
