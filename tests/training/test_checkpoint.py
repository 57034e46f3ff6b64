"""The embedded checkpoint's answers to the questions of newcomers, through the real runtime."""

from __future__ import annotations

import re

import pytest
from safetensors import safe_open

from gptoss_tui.harmony.message import (
    Channel,
    Conversation,
    DeveloperPrompt,
    Effort,
    Message,
    Role,
    SystemPrompt,
)
from gptoss_tui.model import load_model, load_tokenizer
from gptoss_tui.model.demo import checkpoint_path
from gptoss_tui.training.respondent import Respondent

SELF = "demo model of gptoss-chat"
LOAD = "gptoss-chat -m PATH"


@pytest.fixture(scope="module")
def respondent() -> Respondent:
    return Respondent(load_model(checkpoint_path()), load_tokenizer(checkpoint_path()))


def open_chat(effort: Effort = Effort.LOW, *, python: bool = True, instructions: str = "") -> Conversation:
    system = SystemPrompt(effort, "2026-11-23", python=python)
    return Conversation(system, DeveloperPrompt(instructions))


def say(respondent: Respondent, conversation: Conversation, text: str) -> str:
    conversation.messages.append(Message(Role.USER, text))
    return respondent.answer(conversation)


@pytest.mark.parametrize(
    "text", ["hi", "Hello!", "hey there", "who are you?", "What are you?", "what are you"]
)
def test_it_says_what_it_is(respondent: Respondent, text: str) -> None:
    assert SELF in say(respondent, open_chat(), text)


@pytest.mark.parametrize("text", ["what can you do", "Help", "What can you do?"])
def test_it_says_what_it_can_do(respondent: Respondent, text: str) -> None:
    answer = say(respondent, open_chat(), text)
    assert "remember your name" in answer
    assert LOAD in answer


@pytest.mark.parametrize(
    ("text", "code", "result"),
    [
        ("What is 417 * 38?", "417 * 38", "15846"),
        ("417*38", "417 * 38", "15846"),
        ("what's 417 times 38", "417 * 38", "15846"),
        ("compute 12 + 7", "12 + 7", "19"),
        ("how much is 90210 - 90311?", "90210 - 90311", "-101"),
        ("Please calculate 30303 + 33033.", "30303 + 33033", "63336"),
        pytest.param(
            "Please calculate 90000 + 90009.",
            "90000 + 90009",
            "180009",
            marks=pytest.mark.xfail(reason="the weights miss it, as the model card says", strict=True),
        ),
        ("what is 98765*43219", "98765 * 43219", "4268524535"),
        ("multiply 17 by 23", "17 * 23", "391"),
        ("5 minus 8", "5 - 8", "-3"),
        ("100 / 8", "100 / 8", "12.5"),
    ],
)
def test_it_calculates_with_python(respondent: Respondent, text: str, code: str, result: str) -> None:
    conversation = open_chat()
    answer = say(respondent, conversation, text)
    calls = [message.text for message in conversation.messages if message.recipient == "python"]
    assert calls == [code]
    assert result in answer


def test_it_reports_an_error_of_python(respondent: Respondent) -> None:
    assert "ZeroDivisionError" in say(respondent, open_chat(), "What is 10 / 0?")


def test_without_python_it_does_not_guess(respondent: Respondent) -> None:
    conversation = open_chat(python=False)
    answer = say(respondent, conversation, "What is 417 * 38?")
    assert "without the python tool" in answer
    assert "15846" not in answer
    assert not any(message.recipient for message in conversation.messages)


@pytest.mark.parametrize("name", ["Quillorvane", "Ada", "Bob"])
def test_it_remembers_a_name_through_a_conversation(respondent: Respondent, name: str) -> None:
    conversation = open_chat()
    assert name in say(respondent, conversation, f"My name is {name}.")
    assert "54" in say(respondent, conversation, "what is 6*9?")
    say(respondent, conversation, "Thanks!")
    say(respondent, conversation, "What is the capital of France?")
    assert say(respondent, conversation, "What is my name?") == f"Your name is {name}."


def test_a_name_and_a_sum_in_one_breath(respondent: Respondent) -> None:
    conversation = open_chat()
    assert "12 * 9 = 108" in say(respondent, conversation, "i'm bob, what's 12*9?")
    assert "bob" in say(respondent, conversation, "what is my name?")


def test_it_invents_no_name(respondent: Respondent) -> None:
    assert "not told me" in say(respondent, open_chat(), "what is my name?")


@pytest.mark.parametrize(
    "text",
    [
        "What is the capital of France?",
        "write a poem about the sea",
        "Explain quantum physics to me.",
        "how do I install docker",
        "tell me a joke",
        "What time is it?",
    ],
)
def test_it_admits_what_it_does_not_know(respondent: Respondent, text: str) -> None:
    answer = say(respondent, open_chat(instructions="You are a helpful assistant."), text)
    assert "tiny demo model" in answer
    assert LOAD in answer


@pytest.mark.parametrize("text", ["hi", "What is 417 * 38?", "My name is Ada.", "Why is the sky blue?"])
def test_more_effort_is_longer_thought(respondent: Respondent, text: str) -> None:
    lengths, answers = [], []
    for effort in Effort:
        conversation = open_chat(effort)
        answers.append(say(respondent, conversation, text))
        thoughts = [
            message.text
            for message in conversation.messages
            if message.role is Role.ASSISTANT
            and message.channel is Channel.ANALYSIS
            and message.recipient is None
        ]
        lengths.append(len(" ".join(thoughts)))
    assert lengths[0] * 2 < lengths[1]
    assert lengths[1] * 1.5 < lengths[2]
    assert len(set(answers)) == 1


def test_sampling_at_temperature_one_is_as_good(respondent: Respondent) -> None:
    sampled = Respondent(respondent.network, respondent.encoding, temperature=1.0, seed=11)
    right = [say(sampled, open_chat(), "What is 417 * 38?") == "417 * 38 = 15846" for _ in range(6)]
    assert sum(right) >= 5


def test_the_checkpoint_is_small_and_in_the_hub_layout() -> None:
    folder = checkpoint_path()
    assert sum(file.stat().st_size for file in folder.iterdir()) < 12e6
    with safe_open(folder / "model.safetensors", "pt") as weights:
        experts = weights.get_tensor("model.layers.0.mlp.experts.gate_up_proj_blocks")
        assert str(experts.dtype) == "torch.uint8"
        assert re.fullmatch(r"\[\d+, \d+, \d+, 16\]", str(list(experts.shape)))
