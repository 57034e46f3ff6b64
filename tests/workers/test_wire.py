"""A child reads exactly the messages that were written to it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gptoss_tui.agent.rendering import WIRE, Render
from gptoss_tui.harmony.message import (
    Channel,
    Conversation,
    DeveloperPrompt,
    Effort,
    Function,
    Message,
    ResponseFormat,
    Role,
    SystemPrompt,
)

# Any text, even with surrogates, as files and tools contain it.
texts = st.text(st.characters(exclude_categories=()), max_size=30)
maybe = st.none() | texts
schemas = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.just("\0") | st.text(), inner, max_size=3),
    max_leaves=8,
)
# A schema may come from an attacker who knows the mark of a kind.
objects = st.dictionaries(st.just("\0") | st.text(), schemas | st.just("Message"), max_size=3)
messages = st.builds(
    Message, st.sampled_from(Role), texts, maybe, st.none() | st.sampled_from(Channel), maybe, maybe
)
conversations = st.builds(
    Conversation,
    st.builds(SystemPrompt, st.sampled_from(Effort), maybe, st.booleans(), st.booleans()),
    st.builds(
        DeveloperPrompt,
        texts,
        st.tuples(st.builds(Function, texts, texts, st.none() | objects)),
        st.tuples() | st.tuples(st.builds(ResponseFormat, texts, objects)),
    ),
    st.lists(messages, max_size=4),
)


@given(st.integers(0), conversations, st.none() | st.sampled_from(Channel))
def test_a_conversation_arrives_as_it_left(
    call: int, conversation: Conversation, channel: Channel | None
) -> None:
    line = WIRE.encode(call, Render(conversation, channel))
    assert line.count(b"\n") == 1
    arrived, request = WIRE.decode(line)
    assert arrived == call
    assert request == Render(conversation, channel)
    assert isinstance(request.conversation.developer.functions, tuple)
    assert all(isinstance(message.role, Role) for message in request.conversation.messages)
