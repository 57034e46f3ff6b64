"""A conversation as a tree: no written message goes away, and the leaf decides where it continues."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gptoss_tui.cli.main import main
from gptoss_tui.harmony import Channel, Conversation, DeveloperPrompt, Message, Role, SystemPrompt
from gptoss_tui.history.archive import Archive
from gptoss_tui.history.node import Node
from gptoss_tui.history.record import Record
from gptoss_tui.history.recorder import Recorder
from gptoss_tui.history.sampled import Sampled
from gptoss_tui.history.store import Gone, Store, default_file
from gptoss_tui.history.stored import StoredSession

STORES = Path(__file__).parent / "stores"


def question(text: str) -> Message:
    return Message(Role.USER, text)


def answered(text: str) -> Message:
    return Message(Role.ASSISTANT, text, channel=Channel.FINAL)


def sample(first: int, *ids: int) -> Sampled:
    return Sampled(first, ids, "stop", None, SystemPrompt(), DeveloperPrompt(), (-0.25,) * len(ids), 12)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "s.sqlite3"


async def write(record: Record, *messages: Message) -> None:
    record.conversation.messages += messages
    await record.write()


async def resumed(store: Store, session: str | None = None) -> Record:
    stored = await store.read(session)
    assert stored is not None
    record = Record(store, stored.model, Conversation())
    record.resume(stored)
    return record


def texts(messages: list[Message] | tuple[Message, ...]) -> str:
    return " ".join(message.text for message in messages)


async def branched(store: Store) -> Record:
    """A conversation whose second question was asked again in other words."""
    record = Record(store, "demo", Conversation(), "s")
    record.sampled.append(sample(1, 1))
    await write(record, question("a"), answered("b"))
    record.sampled.append(sample(3, 2))
    await write(record, question("c"), answered("d"))
    record.branch(2)
    record.sampled.append(sample(3, 3))
    await write(record, question("e"), answered("f"))
    return record


async def test_a_branch_leaves_the_old_one_in_the_file(file: Path) -> None:
    store = Store(file)
    record = await branched(store)
    assert texts(record.conversation.messages) == "a b e f"
    assert (record.saved_count, record.missing) == (4, 0)
    nodes = await store.nodes("s")
    assert [(node.id, node.parent, node.message.text) for node in nodes] == [
        (1, None, "a"),
        (2, 1, "b"),
        (3, 2, "c"),
        (4, 3, "d"),
        (5, 2, "e"),
        (6, 5, "f"),
    ]

    again = await resumed(store)
    assert (again.id, texts(again.conversation.messages)) == ("s", "a b e f")
    await write(again, question("g"))
    assert (await store.nodes("s"))[-1].parent == 6
    recovered = Archive(file).read()
    assert texts(recovered.session.messages) == "a b e f g"
    assert [(sample.first, sample.ids) for sample in recovered.sampled] == [(1, (1,)), (3, (3,))], (
        "not of the other path"
    )
    assert recovered.elsewhere == 2
    assert [(summary.messages, summary.question) for summary in Archive(file).summaries()[0]] == [(5, "a")]
    await store.close()


async def test_the_recorder_appends_to_the_branch(file: Path) -> None:
    store, recorder = Store(file), Recorder()
    record = Record(store, "demo", Conversation(), "s")
    recorder.take_up(record)
    for count, text in ((0, "a"), (1, "b"), (1, "c"), (0, "d"), (1, "e")):
        record.branch(count)
        record.conversation.messages.append(question(text))
        await recorder.save()
        assert Archive(file).read("s").session.messages == tuple(record.conversation.messages)
    await recorder.close()
    nodes = await store.nodes("s")
    assert [(node.message.text, node.parent) for node in nodes] == [
        ("a", None),
        ("b", 1),
        ("c", 1),
        ("d", None),
        ("e", 4),
    ]
    assert (recorder.trouble, recorder.lost) == ("", "")
    await store.close()


async def test_the_leaf_is_what_was_written_last(file: Path) -> None:
    store = Store(file)
    record = await branched(store)
    other = await resumed(store)
    other.branch(1)
    await write(other, question("other"))
    assert texts((await resumed(store)).conversation.messages) == "a other"
    await write(record, question("g"))
    assert texts((await resumed(store)).conversation.messages) == "a b e f g"
    await write(other, answered("h"))
    assert texts((await resumed(store)).conversation.messages) == "a other h"
    await record.write()
    assert texts((await resumed(store)).conversation.messages) == "a other h", "nothing new was written"
    await store.close()


async def test_the_first_question_can_be_asked_again(file: Path) -> None:
    store = Store(file)
    record = await branched(store)
    record.branch(0)
    assert record.conversation.messages == []
    await write(record, question("A"), answered("B"))
    assert texts((await resumed(store)).conversation.messages) == "A B"
    assert [(summary.messages, summary.question) for summary in Archive(file).summaries()[0]] == [(2, "A")]
    assert len(await store.nodes("s")) == 8
    await store.close()


async def test_what_is_not_on_disk_is_not_left_behind(file: Path) -> None:
    store = Store(file)
    record = await branched(store)
    record.conversation.messages.append(question("unsaved"))
    with pytest.raises(ValueError, match="save"):
        record.branch(1)
    assert texts(record.conversation.messages) == "a b e f unsaved"
    await record.write()
    record.branch(1)
    assert texts(record.conversation.messages) == "a"
    await store.close()

    nowhere = Record(None, "demo", Conversation(messages=[question("a"), answered("b")]))
    nowhere.branch(1)
    assert texts(nowhere.conversation.messages) == "a"


async def test_two_programs_in_one_conversation_lose_nothing(file: Path) -> None:
    store, other = Store(file), Store(file)
    first = Record(store, "demo", Conversation(), "s")
    await write(first, question("a"), answered("b"))
    second = await resumed(other, "s")
    await write(first, question("c"))
    await write(second, question("d"))
    await write(first, answered("e"))
    assert texts([node.message for node in await store.nodes("s")]) == "a b c d e"
    assert texts(Archive(file).read("s").session.messages) == "a b c e"
    await store.close()
    await other.close()


async def test_the_same_answer_twice(file: Path) -> None:
    """Equal messages after the same message are two nodes, each with its own children."""
    store = Store(file)
    record = Record(store, "demo", Conversation(), "s")
    await write(record, question("a"), answered("b"), question("c"))
    record.branch(1)
    await write(record, answered("b"))
    await store.close()
    again = Store(file)
    first = (await again.nodes("s"))[:3]
    await again.append("s", first, [answered("d")])
    await again.close()
    assert texts(Archive(file).read("s").session.messages) == "a b c d"
    assert Archive(file).read("s").elsewhere == 1


def copy_of(file: Path) -> Path:
    copy = file.with_name("copy")
    with closing(sqlite3.connect(file)) as database:
        database.execute("vacuum into ?", [str(copy)])
    return copy


def put_back(copy: Path, file: Path) -> None:
    for path in file.parent.glob(f"{file.name}*"):
        path.unlink()
    copy.rename(file)


async def gone_on_with(file: Path) -> None:
    """Another program continues the conversation, and its nodes get the numbers of the lost nodes."""
    store = Store(file)
    await write(
        await resumed(store, "s"), question("other"), answered("other"), question("other"), answered("f")
    )
    await store.close()


async def with_another_conversation(file: Path) -> None:
    store = Store(file)
    await write(Record(store, "demo", Conversation(), "t"), *map(question, "wxyz"))
    await store.close()


async def as_it_is(file: Path) -> None:
    pass


@pytest.mark.parametrize("meanwhile", [as_it_is, gone_on_with, with_another_conversation])
async def test_an_older_file_in_its_place_gets_the_path_again(
    file: Path, meanwhile: Callable[[Path], Awaitable[None]]
) -> None:
    store = Store(file)
    record = Record(store, "demo", Conversation(), "s")
    await write(record, question("a"), answered("b"))
    copy = copy_of(file)
    await write(record, question("c"), answered("d"))
    record.branch(2)
    await write(record, question("e"), answered("f"))
    put_back(copy, file)
    await meanwhile(file)
    before = await store.nodes("s")
    await write(record, question("g"))
    assert texts(Archive(file).read("s").session.messages) == "a b e f g"
    after = await store.nodes("s")
    assert after[: len(before)] == before, "what the file had is there still"
    assert texts([node.message for node in after[len(before) :]]) == "e f g", "and nothing is there twice"
    await store.close()


async def test_a_file_of_an_older_version_in_its_place_is_recognized(file: Path) -> None:
    """The older file numbers messages differently; those that it has are not written again."""
    shutil.copy(STORES / "2.sqlite3", file)
    store = Store(file)
    await write(Record(store, "demo", Conversation(), "before"), question("x"))
    record = await resumed(store, "261103-cccccc")
    record.branch(3)
    await write(record, answered("g"))
    put_back(Path(shutil.copy(STORES / "2.sqlite3", file.with_name("copy"))), file)
    await write(record, question("h"))
    nodes = await store.nodes("261103-cccccc")
    assert texts([node.message for node in nodes[3:]]) == "no channel g h"
    assert texts(Archive(file).read("261103-cccccc").session.messages[2:]) == "42\n g h"
    await store.close()


async def test_a_path_that_is_gone_says_what_is_left(file: Path) -> None:
    store = Store(file)
    path = await store.begin(StoredSession("s", "demo", None, "", (question("a"), question("b"))))
    beyond = Node(7, path[-1].id, question("c"))
    with pytest.raises(Gone) as gone:
        await store.append("s", [*path, beyond], [question("d")])
    assert gone.value.remaining == path
    assert await store.nodes("s") == path
    await store.close()


STEPS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12), st.integers(1, 3)), max_size=12)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
async def test_whatever_is_branched_off_all_is_there(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int, int]]
) -> None:
    """Three programs go on from any place: each path is read as it was written, and no message is missing."""
    file = tmp_path_factory.mktemp("tree") / "s.sqlite3"
    stores = [Store(file) for _ in range(3)]
    records = [Record(store, "demo", Conversation(), "s") for store in stores]
    every: list[Message] = []
    for who, start, count in steps:
        record = records[who]
        record.branch(min(start, record.saved_count))
        new = [question(f"{len(every) + place}") for place in range(count)]
        record.sampled.append(sample(record.saved_count + 1, len(every)))
        every += new
        await write(record, *new)
        recovered = Archive(file).read("s")
        assert list(recovered.session.messages) == record.conversation.messages
        assert recovered.elsewhere == len(every) - record.saved_count
        assert recovered.sampled[-1] == sample(record.saved_count - count + 1, len(every) - count)
        numbers = [int(message.text) for message in recovered.session.messages]
        assert all(numbers[sampled.first - 1] == sampled.ids[0] for sampled in recovered.sampled)
        assert list((await stores[0].read("s") or recovered.session).path) == record.path
    nodes = await stores[0].nodes("s")
    assert [node.message for node in nodes] == every
    for store in stores:
        await store.close()


SAMPLES = st.builds(
    Sampled,
    st.just(0),
    st.lists(st.integers(0, 2**32 - 1) | st.integers(-3, 2**70)).map(tuple),
    st.sampled_from(["stop", "length", ""]),
    st.none() | st.sampled_from(Channel),
    st.just(SystemPrompt()),
    st.just(DeveloperPrompt()),
    st.lists(st.floats(width=32, allow_nan=False)).map(tuple),
    st.integers(0, 2**31),
)


@given(sampled=SAMPLES)
def test_a_sample_comes_back_exactly(sampled: Sampled) -> None:
    assert Sampled.of(0, sampled.columns()) == sampled


def test_a_sample_takes_eight_bytes_a_token() -> None:
    ids, logprobs, *_ = sample(0, *range(200_000, 201_000)).columns()
    assert (len(ids), len(logprobs)) == (4000, 4000)
    assert ids[:8] == b"\x40\x0d\x03\x00\x41\x0d\x03\x00"
    assert logprobs[:4] == b"\x00\x00\x80\xbe"


async def test_a_logprob_that_no_float_of_32_bits_holds(file: Path) -> None:
    """The logprob is stored as infinity, and prevents no message from being saved."""
    store = Store(file)
    odd = replace(sample(0, 1), logprobs=(-1e300, float("-inf"), 1e-300))
    await store.begin(StoredSession("s", "demo", None, ""), [odd])
    assert Archive(file).read("s").sampled[0].logprobs == (float("-inf"), float("-inf"), 0.0)
    await store.close()


async def test_tokens_tells_the_logprobs_as_json(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    tiny_checkpoint: Callable[[Path], Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    checkpoint = tiny_checkpoint(tmp_path / "model")
    known = replace(sample(1, 65, 66), logprobs=(-0.5, float("-inf")))
    unknown = replace(sample(1, 67), logprobs=(), prompt_tokens=0)
    store = Store(default_file())
    await store.begin(StoredSession("s", str(checkpoint), None, "", (question("a"),)), [known, unknown])
    await store.close()
    assert main(["tokens", "--sampled", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    tokens = [
        (token["sample"], token["id"], token.get("logprob", "?"), token.get("prompt_tokens"))
        for token in lines
    ]
    assert tokens == [(0, 65, -0.5, 12), (0, 66, None, 12), (1, 67, "?", None)]


async def test_looking_back_shows_one_path_and_says_that_there_are_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    store = Store(default_file())
    await branched(store)
    await store.close()
    assert main(["export", "--json"]) == 0
    out, err = capsys.readouterr()
    assert [message["text"] for message in json.loads(out)["messages"]] == ["a", "b", "e", "f"]
    assert err == "Left out: 2 messages on other paths.\n"
    assert main(["sessions", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["messages"] == 4
