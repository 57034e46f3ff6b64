"""The index of words: every message and output is found, by any text that a person types."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gptoss_tui.harmony import Channel, Message, Role
from gptoss_tui.history.archive import Archive, ArchiveError
from gptoss_tui.history.store import Store, StoreError
from gptoss_tui.history.stored import StoredSession

SAID = (
    Message(Role.USER, 'Find "NEAR(cafe)" AND the receipt, please'),
    Message(Role.ASSISTANT, "Pondering where receipts lie", channel=Channel.ANALYSIS),
    Message(Role.ASSISTANT, "open('inbox.txt')", channel=Channel.ANALYSIS, recipient="python"),
    Message(Role.TOOL, "Café Ångström\0: 12.50\udcff euro", name="python", channel=Channel.ANALYSIS),
    Message(Role.ASSISTANT, "我喜欢编程 und 東京です", channel=Channel.COMMENTARY),
    Message(Role.ASSISTANT, "It was ปลา and кофе", channel=Channel.FINAL),
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "s.sqlite3"


async def keep(file: Path, *messages: Message, name: str = "s") -> None:
    store = Store(file)
    await store.begin(StoredSession(name, "demo", None, "", messages))
    await store.close()


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("receipt please", [0]),
        ("PONDERING", [1]),
        ("inbox", [2]),
        ("inbox.txt", [2]),
        ("angstrom", [3]),
        ("euro", [3]),
        ("cafe", [3, 0]),
        ("喜欢", [4]),
        ("程", [4]),
        ("欢喜", []),
        ("東京", [4]),
        ("ปลา", [5]),
        ("КОФЕ it", [5]),
        ("", []),
        ("  \n", []),
        ("- + * ( ) ^ :", []),
        ("please -", [0]),
        ('"', []),
        ('"NEAR(cafe)"', [0]),
        ("NEAR(cafe, 2)", []),
        ("AND", [5, 0]),
        ("receipt AND please", [0]),
        ("receipt OR nothing", []),
        ("NOT receipt", []),
        ("text:receipt", []),
        ("recei*", []),
        ("cafe\0euro", [3]),
        ("receipt \udcff", [0]),
    ],
)
async def test_whatever_was_said_is_found_by_its_words(file: Path, words: str, found: list[int]) -> None:
    await keep(file, *SAID)
    store = Store(file)
    nodes = await store.nodes("s")
    await store.close()
    hits = Archive(file).search(words)
    assert [hit.session for hit in hits] == ["s"] * len(found)
    assert [hit.node for hit in hits] == [nodes[number].id for number in found]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(), max_size=30), words=st.text(st.characters(), max_size=30))
async def test_no_words_are_an_error_and_every_text_finds_itself(
    tmp_path_factory: pytest.TempPathFactory, text: str, words: str
) -> None:
    file = tmp_path_factory.mktemp("search") / "s.sqlite3"
    await keep(file, Message(Role.USER, f"{text} end"))
    Archive(file).search(words)
    assert len(Archive(file).search(f"{text} end")) == 1


async def test_the_newest_come_first_and_not_too_many(file: Path) -> None:
    for name in "abc":
        await keep(file, Message(Role.USER, "hello"), Message(Role.USER, "hello again"), name=name)
    hits = Archive(file).search("hello", most=4)
    assert [hit.session for hit in hits] == ["c", "c", "b", "b"]
    assert [hit.node for hit in hits] == sorted((hit.node for hit in hits), reverse=True)


async def test_what_is_not_committed_is_not_indexed(file: Path) -> None:
    await keep(file, *SAID)
    with closing(sqlite3.connect(file)) as database:
        database.execute(
            "create trigger refuse before insert on message when new.role = 'tool'"
            " begin select raise(abort, 'no room'); end"
        )
    store = Store(file)
    path = await store.nodes("s")
    with pytest.raises(StoreError, match="no room"):
        await store.append("s", path, [Message(Role.USER, "unheard"), Message(Role.TOOL, "of")])
    await store.append("s", path, [Message(Role.USER, "heard")])
    await store.close()
    assert Archive(file).search("unheard") == []
    assert len(Archive(file).search("heard")) == 1


async def test_without_fts5_conversations_are_kept_and_indexed_later(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("gptoss_tui.history.search.can_index", lambda _: False)
        await keep(file, *SAID)
        assert Archive(file).read("s").session.messages == SAID
        with pytest.raises(ArchiveError, match="cannot be searched"):
            Archive(file).search("receipt")
    await keep(file, Message(Role.USER, "another receipt"), name="t")
    assert [hit.session for hit in Archive(file).search("receipt")] == ["t", "s"]
    with monkeypatch.context() as patch:
        patch.setattr("gptoss_tui.history.search.can_index", lambda _: False)
        await keep(file, Message(Role.USER, "a third receipt"), name="u")
    await keep(file, Message(Role.USER, "a fourth receipt"), name="v")
    assert [hit.session for hit in Archive(file).search("receipt")] == ["v", "u", "t", "s"]


@pytest.mark.parametrize(
    "damage",
    ["update words_data set block = x'ffffffffffff' where id >= 10", "drop table words_config"],
)
async def test_a_damaged_index_keeps_nothing_from_being_saved(file: Path, damage: str) -> None:
    await keep(file, *SAID)
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(damage)
    await keep(file, *SAID, name="t")
    assert Archive(file).read("t").session.messages == SAID
    with pytest.raises(ArchiveError, match="cannot be searched"):
        Archive(file).search("receipt")


def test_nothing_to_search(file: Path) -> None:
    assert Archive(file).search("anything") == []
    assert not file.exists()
