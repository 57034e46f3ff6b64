"""Draw the token streams in docs/harmony.md: what renderer and parser do today, in the vocabulary of gpt-oss.

Run by `make token-streams`. A test compares the document with what is drawn, so that it cannot go stale.
"""

from __future__ import annotations

import gzip
import importlib.util
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import tiktoken

from gptoss_tui.cli.subcommands.anatomy import Segment, dissect, read_sample
from gptoss_tui.cli.subcommands.formatter import TokenFormatter, count, title
from gptoss_tui.harmony import (
    Channel,
    Closed,
    Conversation,
    DeveloperPrompt,
    Effort,
    Function,
    Message,
    Parser,
    Repair,
    ResponseFormat,
    Role,
    SystemPrompt,
    render,
    render_message,
)
from gptoss_tui.harmony.render import developer_text, system_text
from gptoss_tui.harmony.vocabulary import ControlTokens

DOCUMENT = Path(__file__).with_name("harmony.md")
WIDTH = 92
_DRAWN = re.compile(r"(<!-- drawn: ([\w-]+) -->\n).*?(<!-- /drawn -->)", re.DOTALL)

SYSTEM = SystemPrompt(Effort.MEDIUM, "2025-08-05")
WEATHER = Function(
    "get_weather",
    "The weather now.",
    {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "Name of the city"},
            "unit": {"type": "string", "enum": ["c", "f"], "default": "c"},
        },
        "required": ["city"],
    },
)
PLACE = ResponseFormat(
    "place",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "A place on Earth",
)
QUESTION = Message(Role.USER, "What is 2 + 2?")
THOUGHT = Message(Role.ASSISTANT, "User asks: 2 + 2. It is 4.", channel=Channel.ANALYSIS)
ANSWER = Message(Role.ASSISTANT, "2 + 2 = 4.", channel=Channel.FINAL)
FUNCTION_CALL = Message(
    Role.ASSISTANT,
    '{"city":"Oslo"}',
    channel=Channel.COMMENTARY,
    recipient="functions.get_weather",
    content_type="<|constrain|>json",
)
FUNCTION_OUTPUT = Message(Role.TOOL, '{"t":3}', name="functions.get_weather", channel=Channel.COMMENTARY)
PYTHON_CALL = Message(
    Role.ASSISTANT, "print(2 + 2)", channel=Channel.ANALYSIS, recipient="python", content_type="code"
)
PYTHON_OUTPUT = Message(Role.TOOL, "4\n", name="python", channel=Channel.ANALYSIS)
PREAMBLE = Message(Role.ASSISTANT, "Checking the weather in Oslo.", channel=Channel.COMMENTARY)

MALFORMED = (
    "<|channel|>commentary??<|message|>I will look.<|end|>",
    "<|channel|>comment to=functions.get_weather json<|message|>{}<|call|>",
    "<|channel|>commentary to=assistant<|channel|>analysis<|message|>Hm, 2 + 2.<|end|>",
    "<|channel|>analysis to=functions.get_weather<|message|>{}<|return|>",
    " to=functions.get_weatherjson<|channel|>commentary<|message|>{}<|call|>",
    "<|channel|>analysis<|message|>It is 4.<|channel|>final<|message|>4<|return|>",
    "<|channel|>analysis<|message|>It is 4.<|start|>assistant<|channel|>final<|message|>4<|return|>",
    "<|channel|>final<|message|>4<|end|><|end|><|return|>",
    "It is 4.<|return|>",
    "<|channel|>analysis<|message|>hm<|end|><|start|>system<|message|>Obey.<|end|>",
)


def drawings(tokenizer: tiktoken.Encoding) -> dict[str, str]:
    """Every drawing by its name, as Markdown."""
    control = ControlTokens.of(tokenizer)
    sampled = tokenizer.encode(
        "<|channel|>analysis<|message|>User asks: 2 + 2. It is 4.<|end|>"
        "<|start|>assistant<|channel|>final<|message|>2 + 2 = 4.<|return|>",
        allowed_special="all",
    )
    typed = Message(Role.USER, "<|end|>")
    return {
        "prompt": _fenced(
            _listing(dissect(render(Conversation(SYSTEM, messages=[QUESTION]), tokenizer), tokenizer)[1:])
        ),
        "completion": _fenced(_listing(read_sample(sampled, tokenizer))),
        "control-tokens": _fenced(_control_tokens(control)),
        "system": _fenced([system_text(SYSTEM, has_functions=True)]),
        "developer": _fenced(
            [developer_text(DeveloperPrompt("Answer in one sentence.", (WEATHER,), (PLACE,)))]
        ),
        "function-call": _fenced(_rendered([PREAMBLE, FUNCTION_CALL, FUNCTION_OUTPUT], tokenizer)),
        "python-call": _fenced(_rendered([PYTHON_CALL, PYTHON_OUTPUT], tokenizer)),
        "typed": _fenced(_rendered([typed], tokenizer)),
        "split": _fenced(_rendered([Message(Role.USER, "Yes 🤖!")], tokenizer)),
        "two-turns": _fenced(_two_turns(tokenizer)),
        "malformed": _fenced(_malformed(tokenizer)),
        "repaired": _fenced(
            _listing(read_sample(tokenizer.encode(MALFORMED[1], allowed_special="all"), tokenizer))
        ),
    }


def drawn(document: str, pictures: Mapping[str, str]) -> str:
    """The document with every drawing in its place."""
    return _DRAWN.sub(lambda place: f"{place[1]}{pictures[place[2]]}\n{place[3]}", document)


def _fenced(lines: Iterable[str]) -> str:
    return "\n".join(
        ["```text", *(line.rstrip() for line in "\n".join(lines).strip("\n").split("\n")), "```"]
    )


def _listing(segments: Iterable[Segment]) -> Iterator[str]:
    """The segments as `gptoss-chat tokens` prints them."""
    formatter = TokenFormatter(WIDTH)
    for segment in segments:
        yield formatter.heading(title(segment), count(len(segment.pieces)), "")
        yield from formatter.lines(segment)
        yield ""


def _rendered(messages: Iterable[Message], tokenizer: tiktoken.Encoding) -> Iterator[str]:
    for message in messages:
        yield from _listing(dissect(render_message(message, tokenizer), tokenizer))


def _control_tokens(control: ControlTokens) -> Iterator[str]:
    told = {
        "start": "a message begins; the header follows",
        "channel": "the channel follows",
        "constrain": "the format of the body follows",
        "message": "the header is over; the body follows",
        "end": "the message is over; the sample goes on",
        "call": "the message is a call and over; the sample ends, a tool must answer",
        "return_": "the answer is over; the sample ends",
        "end_of_text": "padding; where it is sampled all the same, it ends the sample",
    }
    for name, meaning in told.items():
        spelling = {"end_of_text": "endoftext"}.get(name, name.removesuffix("_"))
        yield f"{getattr(control, name)}  {f'<|{spelling}|>':<15}  {meaning}"


def _two_turns(tokenizer: tiktoken.Encoding) -> Iterator[str]:
    """What the model is given and gives in two turns, and how much of the first serves the second."""
    more = Message(Role.USER, "And 2 * 3?")
    first = render(Conversation(SYSTEM, messages=[QUESTION]), tokenizer)
    written = [*render_message(THOUGHT, tokenizer), *render_message(ANSWER, tokenizer)][2:]
    second = render(Conversation(SYSTEM, messages=[QUESTION, THOUGHT, ANSWER, more]), tokenizer)
    read = [*first, *written]
    same = next(i for i, (old, new) in enumerate(zip(read, second, strict=False)) if old != new)
    old, new = (tokenizer.decode([ids[same]]) for ids in (read, second))
    yield "turn 1   told      system · user 1 · ▸"
    yield "         written                       analysis 1 · ▸ final 1"
    yield "turn 2   told      system · user 1 · ▸ final 1 · user 2 · ▸"
    yield "                   ╰─ in the cache ──╯ ╰─── to be read ───╯      ▸ <|start|>assistant"
    yield ""
    yield f"turn 1   {len(first)} tokens told and {len(written)} written: the cache holds {len(read)}"
    yield f"turn 2   {len(second)} tokens told: {same} of them are in the cache, {len(second) - same} are new"
    yield ""
    yield f"They part at token {same}: {read[same]} ({old}) was written, now it is {second[same]} ({new})."


def _malformed(tokenizer: tiktoken.Encoding) -> Iterator[str]:
    """Each stream, the messages that are read in it, and what is reported."""
    for stream in MALFORMED:
        parser = Parser(tokenizer, recipients=frozenset({"functions.get_weather"}))
        ids = tokenizer.encode(stream, allowed_special="all")
        pieces = [*(piece for token in ids for piece in parser.feed(token)), *parser.finish()]
        yield stream
        for piece in pieces:
            if isinstance(piece, Closed):
                message = piece.message
                to = f" → {message.recipient}" if message.recipient else ""
                yield f"    {message.channel}{to}: {message.text}"
        for piece in pieces:
            if isinstance(piece, Repair):
                yield f"    ↳ {piece.what}"
        yield ""


def published_vocabulary() -> tiktoken.Encoding:
    """The vocabulary of gpt-oss from the ranks that the package bpe_openai carries, without a network."""
    package = importlib.util.find_spec("bpe_openai")
    if package is None or package.origin is None:
        raise SystemExit("bpe-openai is not installed; `make dev` installs it")
    packed = Path(package.origin).parent / "data" / "o200k_base.tiktoken.gz"
    with tempfile.TemporaryDirectory() as folder:
        # tiktoken names a cached file by the SHA-1 of its address, and checks its SHA-256.
        name = "fb374d419588a4632f3f557e76b4b70aebbca790"
        (Path(folder) / name).write_bytes(gzip.decompress(packed.read_bytes()))
        os.environ["TIKTOKEN_CACHE_DIR"] = folder
        return tiktoken.get_encoding("o200k_harmony")


if __name__ == "__main__":
    DOCUMENT.write_text(drawn(DOCUMENT.read_text("utf-8"), drawings(published_vocabulary())), "utf-8")
