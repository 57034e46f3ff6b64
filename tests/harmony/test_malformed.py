"""Malformed output gets its best reading: a row for each kind of damage that has been seen.

`source` names the public thread that reports it, or the case of the official parser that shows it; rows
without a source are variants of their neighbours.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import tiktoken
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gptoss_tui.harmony import Channel, Closed, Opened, Repair, Text
from gptoss_tui.harmony.parse import HEADER_BUDGET, Piece

Reader = Callable[..., list[Piece]]
A, C, F = Channel.ANALYSIS, Channel.COMMENTARY, Channel.FINAL
WEATHER = "functions.get_weather"
JSON = "<|constrain|>json"
X = "<|message|>x<|end|>"
NEXT = "<|start|>assistant"


@dataclass(frozen=True)
class Row:
    """A sample, its messages (channel, recipient, content type, text), and words of a repair, if any."""

    sample: str
    messages: list[tuple[Channel, str | None, str | None, str]]
    repair: str | None
    source: str = ""


ROWS = {
    # The words of a header.
    "extra words after the channel": Row(
        "<|channel|>analysis so then<|message|>x<|end|>",
        [(A, None, None, "x")],
        "ignored: so then",
        "openai/harmony#38, vllm-project/vllm#23567",
    ),
    "a question mark after the channel": Row(
        f"<|channel|>commentary?{X}", [(C, None, None, "x")], "'commentary?'", "ggml-org/llama.cpp#27720"
    ),
    "question marks for a channel": Row(
        f"<|channel|>??{X}", [(C, None, None, "x")], "unknown channel '??'", "ggml-org/llama.cpp#27720"
    ),
    "question marks for the channel of a call": Row(
        f"<|channel|>?? to={WEATHER}{X}", [(C, WEATHER, None, "x")], "without a channel"
    ),
    "a doubled channel name": Row(
        f"<|channel|>analysisanalysis{X}",
        [(A, None, None, "x")],
        "'analysisanalysis'",
        "ggml-org/llama.cpp#27720",
    ),
    "two channel names in one word": Row(
        f"<|channel|>commentaryanalysis{X}", [(A, None, None, "x")], "'commentaryanalysis'"
    ),
    "a final that goes on as reasoning": Row(
        f"<|channel|>finalanalysis{X}", [(A, None, None, "x")], "'finalanalysis'"
    ),
    "a doubled final": Row(f"<|channel|>finalfinal{X}", [(F, None, None, "x")], "'finalfinal'"),
    "a channel in capitals": Row(f"<|channel|>Final{X}", [(F, None, None, "x")], "'Final'"),
    "a channel cut short": Row(
        f"<|channel|>comment{X}", [(C, None, None, "x")], "'comment'", "vllm-project/vllm#58384"
    ),
    "an unknown channel is no answer": Row(
        f"<|channel|>finale{X}", [(C, None, None, "x")], "unknown channel 'finale'", "vllm-project/vllm#43408"
    ),
    "two channels in one word": Row(
        f"<|channel|>analysis––commentary{X}", [(A, None, None, "x")], "'analysis––commentary'"
    ),
    "two channels in two words": Row(
        f"<|channel|>analysis commentary to={WEATHER}<|message|>x<|call|>",
        [(A, WEATHER, None, "x")],
        "'analysis commentary'",
    ),
    "two channels, one of them final, are no answer": Row(
        f"<|channel|>final commentary{X}", [(C, None, None, "x")], "'final commentary'"
    ),
    "commentary and then analysis in two words": Row(
        f"<|channel|>commentary analysis{X}", [(A, None, None, "x")], "read as analysis"
    ),
    "analysis after words of no meaning": Row(
        f"<|channel|>final well, analysis{X}", [(A, None, None, "x")], "ignored: well,"
    ),
    # Of several channels the last counts; a doubtful message is never an answer, a call or a preamble.
    "a header before the answer's": Row(
        f"<|channel|>commentary to=assistant<|channel|>final{X}",
        [(F, None, None, "x")],
        "'commentary final' was read as final",
    ),
    "three channels": Row(
        f"<|channel|>commentary to=user<|channel|>final<|channel|>analysis{X}",
        [(A, None, None, "x")],
        "'commentary final analysis'",
    ),
    "nonsense between two channels": Row(
        f"<|channel|>commentary<|channel|>?? to=all<|channel|> analysis so{X}",
        [(A, None, None, "x")],
        "ignored: ?? so",
    ),
    "nonsense after reasoning": Row(
        f"<|channel|>analysis<|channel|>??{X}", [(A, None, None, "x")], "ignored: ??"
    ),
    "nonsense after an answer": Row(
        f"<|channel|>final<|channel|>??{X}", [(C, None, None, "x")], "'final' was read as commentary"
    ),
    "an answer after reasoning may be reasoning": Row(
        f"<|channel|>analysis<|channel|>final{X}", [(A, None, None, "x")], "read as analysis"
    ),
    "speech after reasoning may be reasoning": Row(
        f"<|channel|>analysis<|channel|>commentary{X}", [(A, None, None, "x")], "read as analysis"
    ),
    "reasoning after an answer": Row(
        f"<|channel|>final<|channel|>analysis{X}", [(A, None, None, "x")], "'final analysis'"
    ),
    "reasoning without its marker, then an answer": Row(
        f"analysis<|channel|>final{X}", [(A, None, None, "x")], "'analysis final'"
    ),
    "a content type between two channels": Row(
        f"<|channel|>commentary {JSON}<|channel|>analysis{X}", [(A, None, JSON, "x")], "'commentary analysis'"
    ),
    "a tool before the channel changes is not called": Row(
        f"<|channel|>commentary to={WEATHER} <|channel|>analysis<|message|>x<|call|>",
        [(A, None, None, "x")],
        f"a call before the channel changed was ignored: {WEATHER}",
    ),
    "a tool before an answer is neither": Row(
        f"<|channel|>commentary to={WEATHER}<|channel|>final{X}",
        [(C, None, None, "x")],
        "before the channel changed",
    ),
    "a tool after the channel changes is called": Row(
        "<|channel|>commentary to=assistant<|channel|>analysis to=python code<|message|>x<|call|>",
        [(A, "python", "code", "x")],
        "'commentary analysis' was read as analysis",
    ),
    "the last channel is that of a call, too": Row(
        f"<|channel|>analysis<|channel|>commentary to={WEATHER}<|message|>x<|call|>",
        [(C, WEATHER, None, "x")],
        "read as commentary",
    ),
    "a tool in the author's place is called whatever the channel": Row(
        " to=python<|channel|>commentary<|channel|>analysis code<|message|>x<|call|>",
        [(A, "python", "code", "x")],
        "read as analysis",
    ),
    "a tool before the same channel is called": Row(
        f"<|channel|>commentary to={WEATHER}<|channel|>commentary json<|message|>x<|call|>",
        [(C, WEATHER, "json", "x")],
        "doubled <|channel|>",
    ),
    "two tools on two channels are neither": Row(
        f"<|channel|>commentary to={WEATHER}<|channel|>analysis to=python<|message|>x<|call|>",
        [(A, f"{WEATHER} and python", None, "x")],
        "more than one tool",
    ),
    "a tool before the channel changes is not called for another that no tool is": Row(
        f"<|channel|>commentary to={WEATHER}<|channel|>analysis to=someone{X}",
        [(A, None, None, "x")],
        "not on offer",
    ),
    "reasoning inside speech": Row(
        f"<|channel|>commentary<|message|>Let me see.<|channel|>analysis{X}",
        [(C, None, None, "Let me see."), (A, None, None, "x")],
        "another channel began",
    ),
    "reasoning inside an answer": Row(
        f"<|channel|>final<|message|>a<|channel|>analysis{X}",
        [(F, None, None, "a<|channel|>analysis"), (A, None, None, "x")],
        "where reasoning began",
    ),
    "an empty channel": Row(
        f"<|channel|>{X}", [(F, None, None, "x")], "without a channel", "vllm-project/vllm#58384"
    ),
    "a doubled channel marker": Row(
        f"<|channel|><|channel|>analysis{X}", [(A, None, None, "x")], "doubled <|channel|>"
    ),
    "no channel": Row(X, [(F, None, None, "x")], "without a channel", "ggml-org/llama.cpp#25321"),
    "blanks and line breaks": Row(f"<|channel|> final\n{X}", [(F, None, None, "x")], "blanks in a header"),
    # The recipient.
    "a message to the assistant": Row(
        f"<|channel|>commentary to=assistant{X}",
        [(C, None, None, "x")],
        "to=assistant names no tool",
        "ggml-org/llama.cpp#21286",
    ),
    "a message to all": Row(f"<|channel|>commentary to=all{X}", [(C, None, None, "x")], "to=all names no"),
    "a message to the user": Row(f"<|channel|>final to=user{X}", [(F, None, None, "x")], "to=user names no"),
    "a message to nobody": Row(f"<|channel|>commentary to={X}", [(C, None, None, "x")], "to= names no"),
    "a channel like a recipient": Row(
        f"<|channel|>commentary to=analysis{X}", [(A, None, None, "x")], "to=analysis names no tool"
    ),
    "a type glued to the name": Row(
        f" to={WEATHER}json<|channel|>commentary<|message|>x<|call|>",
        [(C, WEATHER, "json", "x")],
        f"glued to the name {WEATHER}",
        "ggml-org/llama.cpp#15102",
    ),
    "code glued to the name": Row(
        "<|channel|>analysis to=pythoncode<|message|>x<|call|>",
        [(A, "python", "code", "x")],
        "glued to the name python",
    ),
    "a type glued to a name that is not on offer": Row(
        "<|channel|>commentary to=functions.shelljson<|message|>x<|call|>",
        [(C, "functions.shelljson", None, "x")],
        None,
        "ggml-org/llama.cpp#15102",
    ),
    "a channel marker glued to the name": Row(
        f"<|channel|>commentary<|channel|> to={WEATHER}<|message|>x<|call|>",
        [(C, WEATHER, None, "x")],
        "doubled <|channel|>",
        "ollama/ollama#11704",
    ),
    "the assistant, with a marker glued to it, as a tool": Row(
        f"<|channel|>commentary to=assistant<|channel|>analysis{X}",
        [(A, None, None, "x")],
        "'commentary analysis' was read as analysis",
        "ollama/ollama#11704",
    ),
    "one recipient twice": Row(
        f" to={WEATHER}<|channel|>commentary to={WEATHER}<|message|>x<|call|>",
        [(C, WEATHER, None, "x")],
        "named twice",
        "sgl-project/sglang#35299",
    ),
    "two recipients, one of them on offer": Row(
        " to=functions.shell<|channel|>analysis to=python<|message|>x<|call|>",
        [(A, "python", None, "x")],
        "read as one to python",
        "sgl-project/sglang#35299",
    ),
    "two recipients on offer are neither": Row(
        f" to={WEATHER}<|channel|>analysis to=python<|message|>x<|call|>",
        [(A, f"{WEATHER} and python", None, "x")],
        "more than one tool",
        "sgl-project/sglang#35299",
    ),
    "two recipients of which none is on offer": Row(
        " to=a<|channel|>commentary to=b<|message|>x<|call|>", [(C, "a and b", None, "x")], "more than one"
    ),
    "two recipients on analysis of which none is on offer": Row(
        " to=a<|channel|>analysis to=b<|message|>x<|call|>", [(A, None, None, "x")], "not on offer"
    ),
    "a recipient on analysis that is not on offer": Row(
        f"<|channel|>analysis to=someone{X}", [(A, None, None, "x")], "not on offer"
    ),
    "a recipient on commentary that is not on offer": Row(
        "<|channel|>commentary to=someone<|message|>x<|call|>", [(C, "someone", None, "x")], None
    ),
    "a built-in tool under the name of a function": Row(
        "<|channel|>analysis to=functions.python code<|message|>x<|call|>",
        [(A, "functions.python", "code", "x")],
        None,
    ),
    "a built-in tool without a channel that is not on offer": Row(
        " to=browser.search<|message|>x<|call|>", [(C, "browser.search", None, "x")], "without a channel"
    ),
    "the assistant in capitals": Row(
        f"<|channel|>analysis to=Assistant{X}", [(A, None, None, "x")], "to=Assistant names no tool"
    ),
    "the assistant and a full stop": Row(
        f"<|channel|>commentary to=assistant.{X}", [(C, None, None, "x")], "to=assistant. names no tool"
    ),
    "the assistant and a colon in the author part": Row(
        f" to=assistant:<|channel|>analysis{X}", [(A, None, None, "x")], "to=assistant: names no tool"
    ),
    "the assistant and a channel glued to it": Row(
        f"<|channel|>commentary to=assistantanalysis{X}", [(A, None, None, "x")], "names no tool"
    ),
    "the assistant and a content type glued to it": Row(
        f"<|channel|>commentary to=assistantjson{X}", [(C, None, "json", "x")], "glued to the name assistant"
    ),
    "a channel like a recipient, in capitals": Row(
        f"<|channel|>commentary to=Analysis{X}", [(A, None, None, "x")], "to=Analysis names no tool"
    ),
    "analysis after a full stop": Row(
        f"<|channel|>commentary to=assistant<|channel|>.analysis{X}",
        [(A, None, None, "x")],
        "'commentary .analysis'",
    ),
    "analysis in quotation marks": Row(
        f"<|channel|>commentary to=assistant<|channel|>“analysis”{X}", [(A, None, None, "x")], "“analysis”"
    ),
    "analysis in parentheses": Row(
        f"<|channel|>commentary (analysis){X}", [(A, None, None, "x")], "read as analysis"
    ),
    "analysis for a content type": Row(
        f"<|channel|>final<|constrain|>analysis{X}", [(A, None, None, "x")], "in the place of a content type"
    ),
    "final in parentheses is no answer": Row(
        f"<|channel|>(final){X}", [(C, None, None, "x")], "unknown channel '(final)'"
    ),
    "a tool's name that no tool has": Row(
        "<|channel|>commentary to=functions.f\u202e<|message|>x<|call|>",
        [(C, "functions.f\u202e", None, "x")],
        "odd characters",
    ),
    "a call without a channel": Row(
        " to=python code<|message|>x<|call|>", [(A, "python", "code", "x")], "call without a channel"
    ),
    "a type before the recipient": Row(
        f"<|channel|>commentary {JSON} to={WEATHER}<|message|>x<|call|>",
        [(C, WEATHER, JSON, "x")],
        "after the content type",
    ),
    "a constraint without a type": Row(
        f"<|channel|>commentary <|constrain|>{X}", [(C, None, None, "x")], "constraint without a type"
    ),
    # Ends and beginnings.
    "text after the end": Row(
        "<|channel|>final<|message|>x<|end|> more<|return|>",
        [(F, None, None, "x"), (C, None, None, " more")],
        "outside a message",
        "vllm-project/vllm#50690",
    ),
    "a doubled end": Row(
        "<|channel|>final<|message|>x<|end|><|end|><|return|>",
        [(F, None, None, "x")],
        "doubled end",
        "vllm-project/vllm#50690",
    ),
    "a call that return ends": Row(
        " to=python<|channel|>analysis code<|message|>x<|return|>",
        [(A, "python", "code", "x")],
        "taken for one",
        "sgl-project/sglang#10576",
    ),
    "a call that end ends": Row(
        " to=python<|channel|>analysis code<|message|>x<|end|>", [(A, "python", "code", "x")], "taken for one"
    ),
    "a call that the end of text ends": Row(
        " to=python<|channel|>analysis code<|message|>x<|endoftext|>",
        [(A, "python", "code", "x")],
        "taken for one",
    ),
    "an end of call that calls nothing": Row(
        "<|channel|>commentary<|message|>x<|call|>", [(C, None, None, "x")], "not its own"
    ),
    "the end of text": Row(
        "<|channel|>final<|message|>x<|endoftext|>", [(F, None, None, "x")], "not its own"
    ),
    "a doubled start": Row(
        f"<|channel|>analysis{X}<|start|><|start|>assistant<|channel|>final{X}",
        [(A, None, None, "x"), (F, None, None, "x")],
        "empty message",
        "vllm-project/vllm#43408",
    ),
    "a start that the prompt had written": Row(
        f"<|start|>assistant<|channel|>final{X}", [(F, None, None, "x")], "empty message"
    ),
    "a header without a word of text": Row(
        f"<|channel|>analysis{X}{NEXT}<|channel|>final<|end|>{NEXT}<|channel|>final{X}",
        [(A, None, None, "x"), (F, None, None, "x")],
        "empty message",
        "vllm-project/vllm#43408",
    ),
    "a doubled start of text": Row(
        "<|channel|>final<|message|><|message|>x<|end|>", [(F, None, None, "x")], "doubled start of text"
    ),
    "a doubled role": Row(f"assistant<|channel|>final{X}", [(F, None, None, "x")], "doubled role"),
    "no role": Row(
        f"<|channel|>analysis{X}<|start|><|channel|>final{X}",
        [(A, None, None, "x"), (F, None, None, "x")],
        "without an author",
    ),
    "a role with a name": Row(
        f"<|channel|>analysis{X}<|start|>assistant:bob<|channel|>final{X}",
        [(A, None, None, "x"), (F, None, None, "x")],
        "ignored: :bob",
    ),
    "a message without a start": Row(
        f"<|channel|>analysis{X}<|channel|>final{X}",
        [(A, None, None, "x"), (F, None, None, "x")],
        "without a start",
    ),
    "a role and a channel in one word": Row(
        f"<|channel|>analysis{X}<|start|>assistantcommentary{X}",
        [(A, None, None, "x"), (C, None, None, "x")],
        "without its marker",
        "ollama/ollama#11704",
    ),
    "a channel for a role": Row(
        f"<|channel|>analysis{X}<|start|>final{X}", [(A, None, None, "x"), (F, None, None, "x")], "its marker"
    ),
    # Messages within messages.
    "an answer inside the reasoning": Row(
        "<|channel|>analysis<|message|>hm<|channel|>final<|message|>x<|return|>",
        [(A, None, None, "hm"), (F, None, None, "x")],
        "another channel began",
        "openai-harmony 0.0.8 keeps the answer in the reasoning",
    ),
    "a start inside a message": Row(
        f"<|channel|>commentary<|message|>x{NEXT}<|channel|>final<|message|>y<|return|>",
        [(C, None, None, "x"), (F, None, None, "y")],
        "the next one began",
    ),
    "a channel inside an answer is text": Row(
        "<|channel|>final<|message|>a<|channel|>b<|return|>",
        [(F, None, None, "a<|channel|>b")],
        "kept as text",
        "oobabooga/text-generation-webui#7374",
    ),
    "a channel inside a call is text, or half of the call would run": Row(
        "<|channel|>analysis to=python code<|message|>a<|channel|>b<|call|>",
        [(A, "python", "code", "a<|channel|>b")],
        "kept as text",
    ),
    "a header instead of the text": Row(
        "<|channel|>commentary<|message|><|channel|>final<|message|>x<|return|>",
        [(C, None, None, ""), (F, None, None, "x")],
        "another channel began",
    ),
    "a start of text inside a message": Row(
        "<|channel|>final<|message|>a<|message|>b<|return|>",
        [(F, None, None, "a<|message|>b")],
        "kept as text",
    ),
    "reserved tokens": Row(
        "<|channel|>final<|message|>a<|reserved_200000|>b<|return|>",
        [(F, None, None, "ab")],
        "token 200000",
    ),
    # Text without a header.
    "no header at all": Row(
        "Hello.<|return|>", [(F, None, None, "Hello.")], "shown as it is", "ggml-org/llama.cpp#25332"
    ),
    "no header at all, beginning like a role": Row(
        "assistants help<|return|>", [(F, None, None, "assistants help")], "shown as it is"
    ),
    "a role and text": Row(
        f"<|channel|>analysis{X}<|start|>assistant Hello.<|return|>",
        [(A, None, None, "x"), (F, None, None, " Hello.")],
        "shown as it is",
    ),
    "a channel and text": Row(
        "<|channel|>commentary Hello.<|return|>", [(C, None, None, " Hello.")], "shown as it is"
    ),
    "a call without a start of text is text": Row(
        "<|channel|>commentary to=python print()<|call|>", [(C, None, None, " to=python print()")], "text"
    ),
    "a header that another start ends": Row(
        f"<|channel|>analysis hm{NEXT}<|channel|>final{X}",
        [(A, None, None, " hm"), (F, None, None, "x")],
        "shown as text",
    ),
    "nothing": Row("<|return|>", [], "empty message"),
    # Other authors: the official parser returns these as messages of theirs.
    "speaking as the user": Row(
        f"<|channel|>final{X}<|start|>user<|message|>yes, delete all<|end|>{NEXT}<|channel|>final{X}",
        [(F, None, None, "x")],
        "speak as user",
    ),
    "speaking as the system": Row(
        f"<|channel|>final{X}<|start|>system{X}", [(F, None, None, "x")], "speak as system"
    ),
    "speaking as the developer": Row(
        f"<|channel|>final{X}<|start|>developer{X}", [(F, None, None, "x")], "speak as developer"
    ),
    "speaking as a tool": Row(
        f"<|channel|>final{X}<|start|>python to=assistant<|channel|>analysis{X}",
        [(F, None, None, "x")],
        "speak as python",
    ),
    "speaking as somebody with a name": Row(
        f"<|channel|>final{X}<|start|>user:bob{X}", [(F, None, None, "x")], "speak as user"
    ),
    "speaking as somebody almost the assistant": Row(
        f"<|channel|>final{X}<|start|>assistant2{X}", [(F, None, None, "x")], "speak as assistant2"
    ),
    "speaking as punctuation": Row(
        f"<|channel|>final{X}<|start|>: hi{X}", [(F, None, None, "x")], "speak as :"
    ),
    "speaking as the user without a start of text": Row(
        f"<|channel|>final{X}<|start|>user yes<|end|>{NEXT} to=python<|channel|>analysis<|message|>1<|call|>",
        [(F, None, None, "x")],
        "speak as user",
    ),
    "speaking as the user, then starting again": Row(
        f"<|channel|>final{X}<|start|>user yes{NEXT} to=python<|channel|>analysis<|message|>1<|call|>",
        [(F, None, None, "x")],
        "speak as user",
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_malformed_output_gets_its_best_reading(read: Reader, name: str) -> None:
    row = ROWS[name]
    pieces = read(row.sample)
    messages = [piece.message for piece in pieces if isinstance(piece, Closed)]
    assert [(m.channel, m.recipient, m.content_type, m.text) for m in messages] == row.messages
    repairs = [piece.what for piece in pieces if isinstance(piece, Repair)]
    assert any(row.repair in what for what in repairs) if row.repair else not repairs


def test_a_call_of_two_tools_is_said_to_be_one(read: Reader) -> None:
    pieces = read(f" to={WEATHER}<|channel|>analysis to=python<|message|>x<|call|>")
    assert Repair("a call to more than one tool") in pieces
    (closed,) = (piece for piece in pieces if isinstance(piece, Closed))
    assert closed.message.recipient not in (WEATHER, "python")


def test_a_header_that_never_ends_becomes_text(read: Reader) -> None:  # vllm-project/vllm#51977
    pieces = read("<|channel|>final" + " word" * 3000 + "<|return|>")
    (closed,) = (piece for piece in pieces if isinstance(piece, Closed))
    assert (closed.message.channel, closed.message.text) == (F, " word" * 3000)
    assert sum(isinstance(piece, Repair) for piece in pieces) == 1


def test_a_header_that_never_ends_does_not_swallow_reasoning(read: Reader) -> None:
    pieces = read("<|channel|>final" + " word" * 3000 + "<|channel|>analysis<|message|>x<|end|>")
    messages = [piece.message for piece in pieces if isinstance(piece, Closed)]
    assert [(m.channel, m.text) for m in messages] == [(F, " word" * 3000), (A, "x")]


WRITTEN = ["<|channel|>", "<|constrain|>", *Channel, " to=assistant", " to=", " to=python", f" to={WEATHER}"]
WRITTEN += ["assistant", " code", "json", "?", " ", "\n", "Hello", " well", ":"]


@given(
    st.lists(st.sampled_from(WRITTEN), max_size=12),
    st.lists(st.sampled_from(["?", " json", " to=all ", " so"])),
)
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_under_no_header_is_reasoning_said_aloud(read: Reader, before: list[str], after: list[str]) -> None:
    """Whatever stands before the last channel, and whatever means nothing after it."""
    pieces = read("".join([*before, "<|channel|>analysis", *after, "<|message|>secret<|end|>"]))
    opened = next(piece for piece in pieces if isinstance(piece, Opened))
    assert opened.channel is A
    author, *channels = "".join(before).split("<|channel|>")
    if opened.recipient is not None and "to=" not in author:
        spoken = (re.sub(r"to=\S*", "", part.split("<|constrain|>")[0]) for part in channels)
        changes = (part for part in spoken if re.search(r"(?<!\S)(commentary|final(?![a-z]))", part.lower()))
        assert all("analysis" in part for part in changes), "a tool named before the channel changed"


MARKED = ["", ".", ":", "(", ")", "“", "”", "*", "-", "_", "\u200b", "\u202e", "?!"]
CASES: list[Callable[[str], str]] = [str.lower, str.upper, str.capitalize, str.swapcase, "{}".format]


@given(
    st.sampled_from(["", *Channel, "commentary to=assistant<|channel|>", "final<|constrain|>", "well, "]),
    st.sampled_from([" ", "<|channel|>", "<|constrain|>", " to=", " to=assistant", " to=User."]),
    st.tuples(st.sampled_from(MARKED), st.sampled_from(CASES), st.sampled_from(MARKED)),
    st.sampled_from(["", " to=Assistant", " to=someone", " to=assistant:", " json", " to=pythn code"]),
    st.sampled_from(["<|end|>", "<|return|>", "<|call|>"]),
)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_however_analysis_is_named_it_is_reasoning(
    read: Reader,
    before: str,
    place: str,
    spelling: tuple[str, Callable[[str], str], str],
    after: str,
    end: str,
) -> None:
    """In any case and punctuation, after any marker, where no tool on offer is called."""
    opening, case, closing = spelling
    pieces = read(f"<|channel|>{before}{place}{opening}{case('analysis')}{closing}{after}<|message|>x{end}")
    opened = next(piece for piece in pieces if isinstance(piece, Opened))
    assert (opened.channel, opened.recipient) == (A, None)


def test_a_header_that_never_ends_may_break_in_the_middle_of_a_character(read: Reader) -> None:
    sparkling_heart = [31446, 244]
    for before in (HEADER_BUDGET - 1, HEADER_BUDGET):
        pieces = read([23] * before + sparkling_heart * 2 + [200002])
        (closed,) = (piece for piece in pieces if isinstance(piece, Closed))
        assert closed.message.text == "8" * before + "💖💖"


def test_a_header_that_never_ends_calls_nothing(read: Reader) -> None:
    pieces = read(" to=python<|channel|>analysis" + " word" * 3000 + "<|message|>1<|call|>")
    (closed,) = (piece for piece in pieces if isinstance(piece, Closed))
    assert closed.message.recipient is None
    assert "to=python" in closed.message.text


@pytest.mark.parametrize("token", [201_088, 2**31, 2**70, -1, -(2**70), 199_998, 200_018, 201_087])
@pytest.mark.parametrize("at", range(6))
def test_an_id_that_means_nothing_is_left_out_wherever_it_stands(read: Reader, token: int, at: int) -> None:
    whole = [200005, 17196, 200008, 17, 200007, 200002]
    pieces = read([*whole[:at], token, *whole[at:]])
    assert [piece for piece in pieces if not isinstance(piece, Repair)] == read(whole)
    (repair,) = (piece for piece in pieces if isinstance(piece, Repair))
    assert str(token) in repair.what


def test_bytes_that_are_no_text_do_not_spoil_the_next_message(read: Reader) -> None:
    pieces = read(
        [200005, 35644, 200008, 17, 9552, 200007, 200006, 173781, 200005, 17196, 200008, 17, 200002]
    )
    assert [piece.message.text for piece in pieces if isinstance(piece, Closed)] == ["2 \ufffd", "2"]


@pytest.mark.parametrize("ids", [[200005], [200005, 12606], [316, 28, 29010], [200005, 17196, 200003]])
def test_an_output_cut_inside_a_header_says_so(read: Reader, ids: list[int]) -> None:
    pieces = read(ids)
    assert any(isinstance(piece, Repair) for piece in pieces)
    for closed in (piece for piece in pieces if isinstance(piece, Closed)):
        assert closed.ending == "cut"
        assert closed.message.recipient is None


def test_half_a_call_is_marked_as_cut(read: Reader) -> None:
    closed = read(' to=python<|channel|>analysis code<|message|>print("')[-1]
    assert isinstance(closed, Closed)
    assert closed.ending == "cut"


def test_generation_past_the_end_is_not_read(read: Reader) -> None:  # vllm-project/vllm#22519
    call = " to=python<|channel|>analysis code<|message|>1<|call|>"
    assert read(call + "<|channel|>commentary<|message|>x<|end|>") == read(call)


def test_a_turn_has_as_many_messages_as_the_model_writes(read: Reader) -> None:  # vllm-project/vllm#22403
    sample = NEXT.join([f"<|channel|>commentary<|message|>{n}<|end|>" for n in range(7)])
    texts = [piece.message.text for piece in read(sample) if isinstance(piece, Closed)]
    assert texts == [str(n) for n in range(7)]


def test_two_answers_are_both_kept(read: Reader) -> None:
    pieces = read(f"<|channel|>final<|message|>x<|end|>{NEXT}<|channel|>final<|message|>y<|return|>")
    assert [piece.delta for piece in pieces if isinstance(piece, Text)] == ["x", "y"]
    assert not any(isinstance(piece, Repair) for piece in pieces)


def test_a_spelling_of_a_marker_in_a_header_is_no_marker(o200k: tiktoken.Encoding, read: Reader) -> None:
    """Headers are cut at token ids, never in decoded text (ggml-org/llama.cpp#15158)."""
    name = o200k.encode_ordinary(" to=python<|constrain|>json")
    pieces = read([200005, 12606, 815, *name, 200008, 16, 200012])
    (closed,) = (piece for piece in pieces if isinstance(piece, Closed))
    assert closed.message.recipient == "python<|constrain|>json"
