"""Looking back: what `gptoss-chat sessions`, `export` and `tokens` print of what is in the store."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import tiktoken
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from gptoss_tui.cli.main import main
from gptoss_tui.cli.subcommands.anatomy import dissect, read_sample
from gptoss_tui.cli.subcommands.formatter import TokenFormatter, cells, visible
from gptoss_tui.cli.subcommands.markdown import as_markdown
from gptoss_tui.harmony import (
    Channel,
    Conversation,
    DeveloperPrompt,
    Effort,
    Function,
    Message,
    Parser,
    Repair,
    Role,
    SystemPrompt,
    render,
    render_message,
)
from gptoss_tui.history.cut import Cut
from gptoss_tui.history.sampled import Sampled
from gptoss_tui.history.store import Store, default_file
from gptoss_tui.history.stored import StoredSession
from gptoss_tui.model import load_tokenizer

THOUGHT = "hmm, secret thought"
TURN = [
    Message(Role.USER, "What is 2 + 2?"),
    Message(Role.ASSISTANT, THOUGHT, channel=Channel.ANALYSIS),
    Message(Role.ASSISTANT, "print(4)", channel=Channel.ANALYSIS, recipient="python", content_type="code"),
    Message(Role.TOOL, "4\n", name="python", channel=Channel.ANALYSIS),
    Message(Role.ASSISTANT, "It is **4**.", channel=Channel.FINAL),
]
MORE = [Message(Role.USER, "Sure?"), Message(Role.ASSISTANT, "Yes.", channel=Channel.FINAL)]
SYSTEM = SystemPrompt(Effort.HIGH, "2026-01-02", python=True)
DEVELOPER = DeveloperPrompt("Be brief.", (Function("now", "The time."),))
MALFORMED = (
    "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>comment??<|message|>a<|return|>b"
)

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Callable[..., Path]) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def tokenizer(checkpoint: Path) -> tiktoken.Encoding:
    return load_tokenizer(checkpoint)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """A function `(*arguments) -> (exit status, stdout, stderr)`, in a house where nothing is kept yet."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    def run(*arguments: str) -> tuple[int, str, str]:
        status = main(arguments)
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def keep(
    name: str, model: object, messages: Sequence[Message], *sampled: Sampled, cuts: Sequence[Cut] = ()
) -> None:
    async def write() -> None:
        store = Store(default_file())
        await store.begin(StoredSession(name, str(model), "2026-01-02", "Be brief."))
        await store.append(name, [], messages, sampled, cuts=cuts)
        await store.close()

    asyncio.run(write())


def sample(tokenizer: tiktoken.Encoding, text: str) -> Sampled:
    ids = tuple(tokenizer.encode(text, allowed_special="all"))
    return Sampled(1, ids, "stop", None, SYSTEM, DEVELOPER)


def test_nothing_is_kept_yet(run: Run) -> None:
    status, out, err = run("sessions")
    assert (status, err) == (0, "")
    assert "gptoss-chat" in out
    assert run("sessions", "--json") == (0, "", "")
    for name in ("export", "tokens"):
        status, out, err = run(name)
        assert (status, out) == (1, "")
        assert len(err.splitlines()) == 1


def test_sessions_newest_first(run: Run) -> None:
    keep("first", "/models/gpt-oss-20b", TURN)
    keep("second", "demo", [Message(Role.USER, "a\x1b]0;x\x07 b\n" + "long " * 50)])
    head, *lines = run("sessions")[1].splitlines()
    assert head.split()[0] == "ID"
    assert [line.split()[0] for line in lines] == ["second", "first"]
    assert "gpt-oss-20b" in lines[1]
    assert "What is 2 + 2?" in lines[1]
    assert "\x1b" not in lines[0]
    assert all(len(line) <= 120 for line in lines)
    objects = [json.loads(line) for line in run("sessions", "--json")[1].splitlines()]
    assert [one["id"] for one in objects] == ["second", "first"]
    assert objects[1]["messages"] == 5
    assert objects[1]["model"] == "/models/gpt-oss-20b"


def test_export_leaves_the_raw_reasoning_out(run: Run) -> None:
    keep("one", "demo", TURN)
    for form in ((), ("--json",)):
        assert THOUGHT not in run("export", *form)[1]
        assert THOUGHT in run("export", "--reasoning", *form)[1]
    shown = run("export", "one", "--reasoning")[1]
    assert "unmoderated" in shown
    for text in ("> What is 2 + 2?", "```python\nprint(4)\n```", "```\n4\n```", "\nIt is **4**.\n"):
        assert text in shown
    assert json.loads(run("export", "--json")[1])["reasoning_left_out"] == 1


def test_export_is_exact_as_json(run: Run) -> None:
    odd = Message(Role.USER, "\x1b[2J \udcff \u202e \u2028 é")
    keep("one", "demo", [odd, *TURN])
    status, out, _ = run("export", "--json", "--reasoning")
    assert status == 0
    assert out.isascii()
    messages = json.loads(out)["messages"]
    fields = ("text", "name", "channel", "recipient", "content_type")
    read = [Message(Role(one["role"]), *(one.get(field) for field in fields)) for one in messages]
    assert read == [odd, *TURN]


def test_export_never_overwrites(run: Run, tmp_path: Path) -> None:
    keep("one", "demo", TURN)
    file = tmp_path / "chat.md"
    status, out, err = run("export", "-o", str(file))
    assert (status, out) == (0, "")
    assert "1 message of raw reasoning" in err
    written = file.read_text()
    assert written == run("export")[1]
    status, _, err = run("export", "-o", str(file), "--reasoning")
    assert status == 1
    assert "left alone" in err
    assert file.read_text() == written
    assert run("export", "-o", str(tmp_path / "no" / "such"))[0] == 1


@pytest.mark.parametrize("name", ["export", "tokens"])
def test_an_unknown_conversation(run: Run, name: str) -> None:
    keep("one", "demo", TURN)
    status, out, err = run(name, "nosuch\x1b[2J")
    assert (status, out) == (1, "")
    assert "nosuch" in err
    assert "\x1b" not in err


def test_a_message_that_no_store_wrote_is_left_out_and_told(run: Run, checkpoint: Path) -> None:
    keep("one", checkpoint, [*TURN, *MORE])
    with sqlite3.connect(default_file()) as database:
        database.execute("update message set role = 'nobody' where id = 7")
    status, out, err = run("export")
    assert status == 1
    assert out.endswith("> Sure?\n")
    assert "after message 6" in err
    status, out, err = run("tokens")
    assert (status, "after message 6" in err) == (1, True)
    assert out


ANY_TEXT = st.text(st.characters(), max_size=60) | st.lists(
    st.sampled_from(
        [
            "```",
            "~~~",
            "`",
            "\n",
            "    ",
            " ",
            "- ",
            "> ",
            "# You",
            "## You",
            "<!--",
            "<div>",
            "===",
            "---",
            "a",
        ]
    ),
    max_size=12,
).map("".join)
SPOKEN = st.lists(
    st.builds(Message, st.just(Role.USER), ANY_TEXT)
    | st.builds(Message, st.just(Role.ASSISTANT), ANY_TEXT, channel=st.sampled_from(Channel))
    | st.builds(Message, st.just(Role.ASSISTANT), ANY_TEXT, recipient=ANY_TEXT)
    | st.builds(Message, st.just(Role.TOOL), ANY_TEXT, name=st.none() | ANY_TEXT),
    max_size=5,
)


@settings(max_examples=300)
@given(messages=SPOKEN)
@example([Message(Role.ASSISTANT, "- ```\n<div>", channel=Channel.FINAL), Message(Role.USER, "x")])
def test_no_text_pretends_to_be_another_part(messages: list[Message]) -> None:
    """CommonMark's own reading: our headings in our order and no others, every output whole in its block."""
    document = as_markdown(StoredSession("one", "demo", None, ""), messages)
    parsed = MarkdownIt("commonmark").parse(document)
    headings = [
        parsed[place + 1].content
        for place, token in enumerate(parsed)
        if token.type == "heading_open" and token.tag in ("h1", "h2") and token.level == 0
    ]
    expected = ["Conversation one"]
    for message in messages:
        speaker = {Role.USER: "You", Role.ASSISTANT: "Assistant"}.get(message.role)
        if speaker == "You" or (speaker and expected[-1] != speaker):
            expected.append(speaker)
    assert headings == expected
    outputs = [token.content for token in parsed if token.type == "fence" and token.level == 0]
    for message in messages:
        if message.role is Role.TOOL:
            plain = message.text.replace("\r\n", "\n").replace("\r", "\n")
            assert any(len(output.strip("\n")) == len(plain.strip("\n")) for output in outputs)


def test_ids_are_what_the_model_was_shown(run: Run, checkpoint: Path, tokenizer: tiktoken.Encoding) -> None:
    keep("one", checkpoint, [*TURN, *MORE], sample(tokenizer, "x"))
    shown = Conversation(SYSTEM, DEVELOPER, [*TURN, *MORE])
    ids = render(shown, tokenizer)
    assert run("tokens", "--ids") == (0, ",".join(map(str, ids)) + "\n", "")
    tokens = [json.loads(line) for line in run("tokens", "--json")[1].splitlines()]
    assert [token["id"] for token in tokens] == ids
    spelled = b"".join(bytes(one["bytes"]) if "bytes" in one else one["text"].encode() for one in tokens)
    assert spelled == tokenizer.decode_bytes(ids)
    answer = [one for one in tokens if one["channel"] == "final" and one["message"] == 3]
    assert tokenizer.decode([one["id"] for one in answer if one["kind"] == "body"]) == "It is **4**."
    assert THOUGHT not in tokenizer.decode(ids)

    higher = Conversation(SystemPrompt(Effort.LOW, "2026-01-02"), DEVELOPER, shown.messages)
    other = run("tokens", "one", "--ids", "-e", "low", "--tools", "none")[1]
    assert other == ",".join(map(str, render(higher, tokenizer))) + "\n"


def test_what_the_model_is_not_shown_any_more_is_not_among_its_tokens(
    run: Run, checkpoint: Path, tokenizer: tiktoken.Encoding
) -> None:
    cut = Cut(first=5, summary="They added.", at=7)
    keep("one", checkpoint, [*TURN, *MORE], sample(tokenizer, "x"), cuts=[cut])
    shown = tokenizer.decode([int(one) for one in run("tokens", "--ids")[1].split(",")])
    assert "<|start|>assistant<|channel|>final<|message|>They added.<|end|>" in shown
    assert "What is 2 + 2?" not in shown and "Sure?" in shown
    assert "the model is not shown all" in run("tokens")[1]
    assert "What is 2 + 2?" in run("export")[1]


def test_the_page(run: Run, checkpoint: Path, tokenizer: tiktoken.Encoding) -> None:
    keep("one", checkpoint, [*TURN, *MORE], sample(tokenizer, "x"))
    status, out, err = run("tokens")
    assert (status, err) == (0, "")
    ids = render(Conversation(SYSTEM, DEVELOPER, [*TURN, *MORE]), tokenizer)
    dropped = [token for message in TURN[1:4] for token in render_message(message, tokenizer)]
    head, _, rest = out.partition("── dropped:")
    gone, _, tail = rest.rpartition("── dropped:")
    last, _, tail = tail.partition("── assistant · final")
    assert _ids(head) + _ids(tail) == ids
    assert _ids(gone) + _ids(last) == dropped
    assert f"Dropped: {len(dropped)} tokens" in out
    assert re.search(rf"^{len(ids):,} tokens: system \d+, developer \d+, user \d+, final \d+", out, re.M)


def _ids(page: str) -> list[int]:
    rows = [line for line in page.splitlines() if line.startswith("  ") and not line.startswith("  ↳")]
    return [int(one) for line in rows[1::2] for one in line.split()]


def test_colour_only_where_it_is_wanted(run: Run, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    keep("one", checkpoint, [*TURN, *MORE])
    plain = run("tokens")[1]
    assert "\x1b" not in plain
    painted = run("tokens", "--color", "always")[1]
    bare = re.sub(r"\x1b\[[\d;]*m", "", painted)
    assert painted.count("\x1b[2;3m") == 0, "the analysis is dropped: struck out"
    assert "\x1b[1m<|start|>\x1b[0m" in painted
    assert bare.replace("control, header, ", "") == plain


def test_a_new_conversation_with_the_present_settings(
    run: Run, checkpoint: Path, tokenizer: tiktoken.Encoding, tmp_path: Path
) -> None:
    functions = tmp_path / "f.py"
    functions.write_text('def now() -> str:\n    """The time."""\n    return ""\n')
    options = (
        "-m",
        str(checkpoint),
        "-e",
        "low",
        "--instructions",
        "Be kind.",
        "--functions",
        str(functions),
    )
    ids = [int(one) for one in run("tokens", "-p", "Hi <|end|>", "--ids", *options)[1].split(",")]
    text = tokenizer.decode(ids)
    assert text.endswith("<|start|>user<|message|>Hi <|end|><|end|><|start|>assistant")
    assert "Reasoning: low" in text
    assert "## python" in text
    assert "# Instructions\n\nBe kind." in text
    assert "type now" in text
    assert ids.count(tokenizer.encode_single_token("<|end|>")) == 3, "typed text is no control token"
    assert run("sessions", "--json")[1] == "", "nothing is kept of it"
    for wrong in (("-p", " "), ("-p", "x", "one"), ("-p", "x", "--sampled"), ("-e", "huge")):
        assert run("tokens", *wrong)[0] == 2


def test_what_the_model_wrote_with_the_repairs_beside_it(
    run: Run, checkpoint: Path, tokenizer: tiktoken.Encoding
) -> None:
    written = sample(tokenizer, MALFORMED)
    keep("one", checkpoint, TURN, written)
    assert run("tokens", "--sampled", "--ids")[1] == ",".join(map(str, written.ids)) + "\n"
    tokens = [json.loads(line) for line in run("tokens", "--sampled", "--json")[1].splitlines()]
    assert [one["id"] for one in tokens] == list(written.ids)
    (mended,) = [one for one in tokens if "repairs" in one]
    parser = Parser(tokenizer)
    pieces = [piece for token in written.ids for piece in parser.feed(token)]
    assert mended["repairs"] == [piece.what for piece in pieces if isinstance(piece, Repair)]
    assert (mended["text"], mended["channel"]) == ("<|message|>", "commentary")
    assert tokens[-1]["kind"] == "unread"
    out = run("tokens", "--sampled")[1]
    lines = out.splitlines()
    assert _ids(out) == list(written.ids)
    assert "1 repair made" in out
    assert any("↳ <|message|>" in line and mended["repairs"][0] in line for line in lines)


def test_conversations_from_before_samples_were_kept(run: Run, checkpoint: Path) -> None:
    keep("old", checkpoint, TURN)
    status, out, err = run("tokens", "--sampled")
    assert (status, out) == (1, "")
    assert "not kept" in err
    status, out, _ = run("tokens")
    assert status == 0
    assert "present settings" in out
    assert run("tokens", "-m", "/no/such/model")[0] == 1


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_sample_can_be_shown(tokenizer: tiktoken.Encoding, data: st.DataObject) -> None:
    special = st.sampled_from(sorted(tokenizer._special_tokens.values()))
    words = st.sampled_from([token for one in Channel for token in tokenizer.encode_ordinary(one.value)])
    ids = data.draw(st.lists(special | words | st.integers(-1, 400), max_size=40))
    channel = data.draw(st.none() | st.sampled_from(Channel))
    segments = read_sample(ids, tokenizer, channel=channel)
    assert [piece.id for segment in segments for piece in segment.pieces] == ids
    parser = Parser(tokenizer, channel=channel)
    made = [*(piece for token in ids for piece in parser.feed(token)), *parser.finish()]
    mended = [what for segment in segments for piece in segment.pieces for what in piece.repairs]
    assert mended == [piece.what for piece in made if isinstance(piece, Repair)]
    lines = [line for segment in segments for line in TokenFormatter(60).lines(segment)]
    assert _ids("\n".join(lines)) == ids


@settings(max_examples=200)
@given(text=st.text(st.characters(), max_size=30))
def test_what_is_visible_is_harmless(text: str) -> None:
    shown = visible(text)
    assert all(unicodedata.category(one) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for one in shown)
    assert cells(shown) >= len([one for one in text if unicodedata.category(one) not in ("Mn", "Me")])


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=80), width=st.integers(20, 120))
def test_rows_fit_the_page(tokenizer: tiktoken.Encoding, text: str, width: int) -> None:
    ids = render(Conversation(messages=[Message(Role.USER, text)]), tokenizer)
    for segment in dissect(ids, tokenizer):
        for line in TokenFormatter(width).lines(segment):
            assert cells(line) <= width or len(line.split()) == 1
    assert [piece.id for segment in dissect(ids, tokenizer) for piece in segment.pieces] == ids


def test_help_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--help"], ["tokens", "--help"], ["export", "--help"], ["sessions", "--help"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert all(f"gptoss-chat {name}" in shown for name in ("sessions", "export", "tokens"))
    with pytest.raises(SystemExit) as wrong:
        main(["export", "--nonsense"])
    assert wrong.value.code == 2
