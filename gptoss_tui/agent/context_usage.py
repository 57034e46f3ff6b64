"""What fills the context: the tokens of the next prompt by what they are for."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..harmony.message import Channel, Message, Role
from .context import fixed_tokens, lengths_of, shown, summed_up
from .room import Room


@dataclass(frozen=True, slots=True)
class ContextUsage:
    """The tokens of the next prompt, all but the person's next message.

    `turns` are the messages of both sides with the calls of tools, `outputs` what the tools gave, `reasoning`
    that of turns without an answer. `context` is the most that there can be, of which `answer` are kept free
    for an answer; 0 while no model is loaded. `hidden` counts the messages that are left out or summed up.
    """

    instructions: int
    tools: int
    summary: int
    turns: int
    outputs: int
    reasoning: int
    context: int
    answer: int
    hidden: int

    @property
    def total(self) -> int:
        return self.instructions + self.tools + self.summary + self.turns + self.outputs + self.reasoning

    def lines(self) -> list[str]:
        """The same as lines of text, for a person."""
        parts = {
            "instructions": self.instructions,
            "tools": self.tools,
            "summary": self.summary,
            "turns": self.turns,
            "tool outputs": self.outputs,
            "reasoning": self.reasoning,
        }
        most = f" of {self.context:,}" if self.context else ""
        head = f"The next prompt begins with {self.total:,}{most} tokens{_share(self.total, self.context)}."
        rows = [
            f"{name:<13}{tokens:>8,}{_share(tokens, self.context)}"
            for name, tokens in parts.items()
            if tokens
        ]
        kept = f"{self.answer:,} are kept free for an answer." if self.answer else ""
        hidden = (
            f"{self.hidden:,} earlier messages are not shown to the model; /uncompact takes a cut back."
            if self.hidden
            else ""
        )
        return [head, *rows, *filter(None, [kept, hidden])]


async def usage(room: Room) -> ContextUsage:
    """What fills the context of a conversation now."""
    renderer, conversation, cut = room.renderer, room.conversation, room.cut
    messages = shown([*conversation.messages, Message(Role.USER, "")], cut)[:-1]
    lengths = await lengths_of(renderer, messages)
    kinds = dict.fromkeys(("turns", "outputs", "reasoning"), 0)
    summary = len(summed_up(cut))
    for message in messages[summary:]:
        kinds[_kind(message)] += lengths[message]
    bare = replace(
        conversation,
        system=replace(conversation.system, browser=False, python=False),
        developer=replace(conversation.developer, functions=()),
    )
    fixed, instructions = await fixed_tokens(renderer, conversation), await fixed_tokens(renderer, bare)
    capacity = room.capacity
    return ContextUsage(
        instructions=instructions,
        tools=fixed - instructions,
        summary=sum(lengths[message] for message in messages[:summary]),
        **kinds,
        context=capacity.context if capacity else 0,
        answer=capacity.answer if capacity else 0,
        hidden=cut.first + max(0, cut.within - cut.first - 1),
    )


def _kind(message: Message) -> str:
    if message.role is Role.TOOL:
        return "outputs"
    is_thought = message.channel is Channel.ANALYSIS and message.recipient is None
    return "reasoning" if is_thought else "turns"


def _share(tokens: int, context: int) -> str:
    return f" ({tokens / context:.0%})" if context else ""
