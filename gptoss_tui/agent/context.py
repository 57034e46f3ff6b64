"""What the model is shown: the messages that begin a conversation, the history as far as it fits, the tokens.

The history itself is never changed. A `Cut` says what of it is left out, shortened or summed up, and every
prompt is rendered from `shown`. How a cut is decided, with whom and when, is in room.py.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from ..calls.toolbox import Toolbox
from ..harmony.message import Channel, Conversation, DeveloperPrompt, Effort, Message, Role, SystemPrompt
from ..harmony.render import remembered
from ..harmony.vocabulary import ControlTokens
from ..history.cut import Cut
from ..model.engine import EngineInfo, Sampling
from .options import Options
from .renderer import Renderer

MOST_ANSWER: Final = 8192
"""Tokens that are kept free for an answer at most; and at most a quarter of the context."""

SHORTENED: Final = "[This output was left out to make room. Call the tool again if it is needed.]"
"""What the model is shown in place of an old output."""

SUMMARY_REQUEST: Final = "Summarise our conversation so far."
"""What the model is shown before its own summary."""


class ContextFull(Exception):
    """The prompt does not fit the context; the message says what to do."""


def prompts(
    options: Options, toolbox: Toolbox, effort: Effort, date: str | None, instructions: str = ""
) -> tuple[SystemPrompt, DeveloperPrompt]:
    """The system and the developer message of the next sample.

    `date` is the day on which the conversation began, and `instructions` hold where the options have none.
    """
    shapes = (options.response_format,) if options.response_format else ()
    return (
        SystemPrompt(effort, date, browser=toolbox.has_browser, python=toolbox.has_python),
        DeveloperPrompt(options.instructions or instructions, toolbox.functions, shapes),
    )


def shown(messages: Sequence[Message], cut: Cut) -> list[Message]:
    """The messages that the model is shown of the history, which ends with a turn that goes on."""
    begin = min(cut.first, len(messages))
    places = [*range(begin, len(messages))[:1], *range(max(begin + 1, cut.within), len(messages))]
    kept = [shortened(messages[i]) if i < cut.outputs else messages[i] for i in places]
    return remembered([*summed_up(cut), *kept])


def summed_up(cut: Cut) -> list[Message]:
    """The summary, if there is one, as the model's own words.

    So what came from a page gains no authority by being summed up.
    """
    if not cut.summary:
        return []
    return [
        Message(Role.USER, SUMMARY_REQUEST),
        Message(Role.ASSISTANT, cut.summary, channel=Channel.FINAL),
    ]


def shortened(message: Message) -> Message:
    """The message without its text, if it is a long output of a tool."""
    is_long = message.role is Role.TOOL and len(message.text) > len(SHORTENED)
    return replace(message, text=SHORTENED) if is_long else message


@dataclass(frozen=True, slots=True)
class Capacity:
    """The tokens that the model can take: `context` in all, of which `answer` are kept for its answer."""

    context: int
    answer: int

    @classmethod
    def of(cls, info: EngineInfo, sampling: Sampling) -> Capacity:
        """That of a loaded model: room for the longest answer, but no more than a quarter."""
        longest = sampling.bound(info.longest_answer) or MOST_ANSWER
        return cls(info.context, max(1, min(longest, MOST_ANSWER, info.context // 4)))

    @property
    def prompt(self) -> int:
        """The most tokens of a prompt."""
        return self.context - self.answer

    @property
    def output(self) -> int:
        """The most tokens of one output of a tool."""
        return max(1, self.context // 4)


@dataclass(frozen=True, slots=True)
class Sizes:
    """The tokens of the prompt under any cut: the `fixed` ones, and those of each message that is shown."""

    messages: Sequence[Message]
    fixed: int
    lengths: Mapping[Message, int]

    def __call__(self, cut: Cut) -> int:
        return self.fixed + sum(self.lengths[message] for message in shown(self.messages, cut))


async def measured(renderer: Renderer, conversation: Conversation, cut: Cut) -> Sizes:
    """The sizes of a conversation under `cut`, and under every cut without another summary."""
    messages = conversation.messages
    lengths = await lengths_of(renderer, [*whole_and_shortened(messages), *summed_up(cut)])
    return Sizes(messages, await fixed_tokens(renderer, conversation), lengths)


def whole_and_shortened(messages: Sequence[Message]) -> list[Message]:
    """The messages in both forms in which they may be shown."""
    return [*messages, *map(shortened, messages)]


async def lengths_of(renderer: Renderer, messages: Iterable[Message]) -> dict[Message, int]:
    """The tokens of each message in a prompt."""
    each = list(dict.fromkeys(messages))
    return dict(zip(each, await renderer.measure(each), strict=True))


async def fixed_tokens(renderer: Renderer, conversation: Conversation) -> int:
    """The tokens of every prompt of the conversation, whatever was said; with the longest of headers."""
    return len(await renderer.render(replace(conversation, messages=[]), Channel.COMMENTARY))


def with_shorter_outputs(sizes: Sizes, cut: Cut, enough: int) -> Cut:
    """Shorten the outputs of earlier turns, and of this one as many, oldest first, as make it fit `enough`.

    The last output stays: the model has not read it yet.
    """
    asked = _last_question(sizes.messages)
    outputs = [place for place in range(asked, len(sizes.messages)) if _is_output(sizes.messages[place])]
    places = [asked, *(place + 1 for place in outputs[:-1])]
    cuts = [replace(cut, outputs=max(cut.outputs, place)) for place in places]
    return _first_fitting(sizes, cuts, enough) or cuts[-1]


def with_fewer_turns(sizes: Sizes, cut: Cut, enough: int) -> Cut:
    """Leave out as many of the oldest turns as make it fit `enough`; the last turn stays."""
    cuts = [replace(cut, first=place) for place in _questions(sizes.messages) if place > cut.first]
    return (_first_fitting(sizes, cuts, enough) or cuts[-1]) if cuts else cut


def with_less_of_turn(sizes: Sizes, cut: Cut, enough: int, most: int) -> Cut:
    """Leave out the oldest calls of the last turn, for it to fit `enough`, or at least `most`.

    Where even the last call is too much, the model is left with the person's message: see `is_spent`.
    """
    messages, asked = sizes.messages, _last_question(sizes.messages)
    places = [i for i in range(asked + 2, len(messages)) if _begins_call(messages, i)]
    cuts = [replace(cut, within=place) for place in places]
    if (found := _first_fitting(sizes, cuts, enough)) is not None:
        return found
    last = cuts[-1] if cuts else cut
    all_outputs = replace(last, outputs=len(messages))
    nothing = replace(all_outputs, within=len(messages))
    for spent in (last, all_outputs, nothing):
        if sizes(spent) <= most:
            return spent
    return replace(nothing, summary="")


def is_spent(messages: Sequence[Message], cut: Cut) -> bool:
    """True when the model is not shown what it called for last: to call again would come to the same."""
    return len(messages) in (cut.outputs, cut.within)


def turns(messages: Sequence[Message], cut: Cut) -> int:
    """The number of turns before the last that are shown whole."""
    return sum(place >= cut.first for place in _questions(messages)[:-1])


def _first_fitting(sizes: Sizes, cuts: Sequence[Cut], most: int) -> Cut | None:
    """The first of ever shorter cuts under which the prompt has at most `most` tokens."""
    place = bisect_left(cuts, True, key=lambda cut: sizes(cut) <= most)
    return cuts[place] if place < len(cuts) else None


def _questions(messages: Sequence[Message]) -> list[int]:
    """The places at which turns begin."""
    return [place for place, message in enumerate(messages) if message.role is Role.USER]


def _last_question(messages: Sequence[Message]) -> int:
    return max(_questions(messages), default=0)


def _is_output(message: Message) -> bool:
    return message.role is Role.TOOL


def _begins_call(messages: Sequence[Message], place: int) -> bool:
    """True when the model began to write at this place, with all earlier calls answered."""
    return not _is_output(messages[place]) and _is_output(messages[place - 1])


async def known_ids(renderer: Renderer, conversation: Conversation, cut: Cut | None = None) -> list[int]:
    """The tokens with which the next prompt begins, whatever the person says next."""
    messages = shown([*conversation.messages, Message(Role.USER, "")], cut or Cut())
    ids = await renderer.render(replace(conversation, messages=messages))
    return ids[: len(ids) - ids[::-1].index(renderer.control.message)]


def opening(ids: Sequence[int], conversation: Conversation, control: ControlTokens) -> int:
    """The number of tokens before the first message: other conversations begin with them, too.

    `ids` are those of a prompt, and hold no word of anybody before that place but the instructions.
    """
    starts = (place for place, token in enumerate(ids) if token == control.start)
    return next(islice(starts, 1 + bool(conversation.developer), None))
