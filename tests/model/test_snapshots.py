"""Openings on disk: what a second start takes from them, and that no file changes an answer."""

from __future__ import annotations

import logging
import os
import random
import stat
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss_tui.kernels.choose import Backend
from gptoss_tui.model import load_model
from gptoss_tui.model.engine import PrefillProgress, Request, Sampling, Token
from gptoss_tui.model.engine.decoder import Decoder
from gptoss_tui.model.engine.snapshots import SHORTEST, SnapshotFolder
from gptoss_tui.model.transformer import Transformer

OPENING = 208  # tokens, a multiple of every backend's block
ROOMY = 1 << 30
Heard = tuple[list[tuple[int, float]], int]


@pytest.fixture(scope="module")
def network(
    tiny_checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory, backend: Backend
) -> Transformer:
    folder = tiny_checkpoint(tmp_path_factory.mktemp("tiny"), num_hidden_layers=2)
    return load_model(folder, dtype="float32", backend=backend)


def ids(length: int, seed: int) -> tuple[int, ...]:
    return tuple(random.Random(seed).choices(range(320), k=length))


PROMPT = ids(OPENING, 1) + ids(60, 2)


def answer(decoder: Decoder, prompt: tuple[int, ...] = PROMPT, opening: int = OPENING) -> Heard:
    """The tokens with their probabilities, and how much of the prompt was not read again."""
    request = Request(prompt, Sampling(temperature=0, max_tokens=6), opening=opening)
    items = list(decoder.generate(request, lambda: False))
    first = items[0]
    assert isinstance(first, PrefillProgress)
    return [(item.id, item.logprob) for item in items if isinstance(item, Token)], first.cached


def assert_alike(found: Heard, expected: Heard) -> None:
    """The same answer, up to rounding: a last token that is read alone is rounded otherwise."""
    for one, other in zip(found[0], expected[0], strict=True):
        assert one == pytest.approx(other, abs=1e-5)


def started(network: Transformer, folder: Path, most: int = ROOMY, name: str = "a") -> Decoder:
    """The decoder of a new process."""
    return Decoder(network, 4096, disk=SnapshotFolder(folder, most, name))


def write(network: Transformer, folder: Path, prompt: tuple[int, ...] = PROMPT, most: int = ROOMY) -> None:
    decoder = started(network, folder, most)
    answer(decoder, prompt)
    decoder.rest(lambda: False)


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


@pytest.fixture
def written(network: Transformer, tmp_path: Path) -> Path:
    """A folder with the snapshot of OPENING tokens."""
    write(network, tmp_path / "snapshots")
    return tmp_path / "snapshots"


def test_the_second_start_goes_on_from_disk_with_the_same_numbers(
    network: Transformer, written: Path
) -> None:
    plain, cached = answer(Decoder(network, 4096))
    assert cached == 0
    assert answer(started(network, written)) == (plain, OPENING)
    # What follows the opening is not on disk.
    other = ids(OPENING, 1) + ids(90, 3)
    decoder = started(network, written)
    assert answer(decoder, other) == (answer(Decoder(network, 4096), other)[0], OPENING)
    assert answer(decoder) == (plain, OPENING), "and now it is in memory"


def test_whole_blocks_of_an_opening_are_kept(network: Transformer, tmp_path: Path) -> None:
    opening = OPENING + 9
    kept = opening - opening % network.new_cache().block
    decoder = started(network, tmp_path)
    expected = answer(decoder, opening=opening)
    decoder.rest(lambda: False)
    assert answer(started(network, tmp_path), opening=opening) == (expected[0], kept)


def test_it_is_read_in_place_of_fewer_tokens_in_memory(network: Transformer, written: Path) -> None:
    decoder = started(network, written)
    answer(decoder, PROMPT[:150] + ids(30, 4), opening=0)
    assert answer(decoder) == (answer(Decoder(network, 4096))[0], OPENING)


def test_only_its_user_can_read_it(written: Path) -> None:
    (file,) = files(written)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(written.stat().st_mode) == 0o700


def test_nothing_is_written_before_it_rests_or_twice(network: Transformer, written: Path) -> None:
    (file,) = files(written)
    before = file.stat().st_mtime_ns, file.stat().st_ino
    decoder = started(network, written, name="another network")
    answer(decoder)
    assert files(written) == [file]
    decoder.rest(lambda: False)
    assert len(files(written)) == 2
    decoder.rest(lambda: False)
    assert len(files(written)) == 2
    assert (file.stat().st_mtime_ns, file.stat().st_ino) == before


def test_short_openings_are_not_kept(network: Transformer, tmp_path: Path) -> None:
    decoder = started(network, tmp_path)
    answer(decoder, opening=SHORTEST - 1)
    decoder.rest(lambda: False)
    assert files(tmp_path) == []
    assert answer(started(network, tmp_path), opening=0) == answer(Decoder(network, 4096), opening=0)


@pytest.fixture(scope="module")
def whole(network: Transformer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The snapshot of OPENING tokens, which nobody changes."""
    folder = tmp_path_factory.mktemp("whole")
    write(network, folder)
    (file,) = files(folder)
    return file


@given(data=st.data())
@settings(max_examples=60)
def test_no_damage_changes_an_answer(
    network: Transformer, whole: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(whole.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1) | st.integers(0, 80), label="place")
    match data.draw(st.sampled_from(["flip", "cut", "grow", "other"]), label="damage"):
        case "flip":
            content[place] ^= 1 << data.draw(st.integers(0, 7), label="bit")
        case "cut":
            del content[place:]
        case "grow":
            content += content[place:]
        case "other":
            content[:] = data.draw(st.binary(max_size=200), label="content")
    folder = tmp_path_factory.mktemp("damaged")
    (folder / whole.name).write_bytes(content)
    disk, cache = SnapshotFolder(folder, ROOMY, "a"), network.new_cache(OPENING)
    before = [bytes(cache.to_bytes(buffer)) for buffer in cache.buffers]
    assert not disk.load(PROMPT[:OPENING], cache)
    assert cache.length == int(cache.position) == 0
    assert before == [bytes(cache.to_bytes(buffer)) for buffer in cache.buffers], "nothing of it was taken"
    assert files(folder) == [], "it is of no use to anybody"


def test_what_is_refused_is_told_in_one_line(
    network: Transformer, written: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (file,) = files(written)
    whole = file.read_bytes()
    expected = answer(Decoder(network, 4096))
    damages = {
        "damaged": whole[:-1] + bytes([whole[-1] ^ 1]),
        "not a snapshot of this version": whole.replace(b"snapshot 1", b"snapshot 0", 1),
        "cut or not a snapshot": whole[:-1],
    }
    for told, content in damages.items():
        caplog.clear()
        file.write_bytes(content)
        assert answer(started(network, written)) == expected
        (record,) = caplog.records
        assert told in record.getMessage() and str(file) in record.getMessage()


def test_a_snapshot_in_anothers_place_is_refused(network: Transformer, written: Path) -> None:
    (first,) = files(written)
    other = ids(OPENING, 7) + ids(10, 2)
    write(network, written, other)
    (second,) = set(files(written)) - {first}
    second.replace(first)
    assert answer(started(network, written)) == answer(Decoder(network, 4096))
    assert files(written) == []


def test_another_network_dtype_or_backend_has_files_of_its_own(
    network: Transformer,
    written: Path,
    tiny_checkpoint: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = answer(Decoder(network, 4096))
    assert answer(started(network, written, name="b")) == expected
    narrow = load_model(tiny_checkpoint(tmp_path / "narrow", num_hidden_layers=2), dtype="bfloat16")
    assert answer(started(narrow, written)) == answer(Decoder(narrow, 4096))
    monkeypatch.setattr("gptoss_tui.model.engine.snapshots.__version__", "0.0.0")
    assert answer(started(network, written)) == expected
    monkeypatch.undo()
    assert answer(started(network, written)) == (expected[0], OPENING), "and none of them took this one away"


@pytest.mark.parametrize("kind", ["folder", "pipe", "link to nowhere", "link to a device"])
def test_things_that_are_no_files(network: Transformer, written: Path, kind: str) -> None:
    (file,) = files(written)
    file.unlink()
    match kind:
        case "folder":
            file.mkdir()
        case "pipe":
            os.mkfifo(file)
        case "link to nowhere":
            file.symlink_to("nowhere")
        case "link to a device":
            file.symlink_to("/dev/zero")
    decoder = started(network, written)
    assert answer(decoder) == answer(Decoder(network, 4096))
    decoder.rest(lambda: False)
    if kind != "folder":
        assert answer(started(network, written))[1] == OPENING, "a whole one took its place"


def test_the_size_of_all_is_bounded_and_the_last_used_stay(network: Transformer, written: Path) -> None:
    (first,) = files(written)
    size = first.stat().st_size
    most = 3 * size + 10
    prompts = [PROMPT, *(ids(OPENING, seed) + ids(10, 0) for seed in (11, 12, 13, 14))]
    stranger = written / "notes.txt"
    stranger.write_bytes(bytes(size))
    for number, prompt in enumerate(prompts[:3]):
        write(network, written, prompt, most)
        for file in set(files(written)) - {first, stranger}:
            os.utime(file, (number, number))
    os.utime(first, (0, 0))
    assert answer(started(network, written, most))[1] == OPENING, "the oldest is used once more"
    for prompt in prompts[3:]:
        write(network, written, prompt, most)
        held = [file for file in files(written) if file != stranger]
        assert sum(file.stat().st_size for file in held) <= most
        assert first in held
    held_prompts = [prompt for prompt in prompts if answer(started(network, written, most), prompt)[1]]
    assert held_prompts == [prompts[0], *prompts[3:]]
    assert stranger.exists()
    write(network, written, ids(OPENING, 20) + ids(10, 0), size - 1)
    assert len(files(written)) == 4, "one that is too large for all the room is not written"


def test_abandoned_drafts_are_tidied_up(network: Transformer, tmp_path: Path) -> None:
    old, new = tmp_path / "a.1.part", tmp_path / "b.2.part"
    for draft in (old, new):
        draft.write_bytes(b"begun")
    os.utime(old, (0, 0))
    write(network, tmp_path)
    assert not old.exists() and new.exists()


def test_an_interruption_leaves_nothing_and_the_next_rest_writes(
    network: Transformer, tmp_path: Path
) -> None:
    decoder = started(network, tmp_path)
    expected = answer(decoder)
    for piece in range(2):  # one for each layer
        pieces = count()
        decoder.rest(lambda: next(pieces) >= piece)  # noqa: B023
        assert files(tmp_path) == []
        assert_alike(answer(decoder), expected)
    decoder.rest(lambda: False)
    assert answer(started(network, tmp_path)) == (expected[0], OPENING)


def test_a_full_disk_is_told_once(
    network: Transformer, written: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (file,) = files(written)
    file.unlink()
    draft = file.with_suffix(f".{os.getpid()}.part")
    draft.symlink_to("/dev/full")
    decoder = started(network, written)
    expected = answer(decoder)
    for _ in range(3):
        decoder.rest(lambda: False)
    (record,) = caplog.records
    assert "no snapshots are written (No space left on device)" in record.getMessage()
    assert record.levelno == logging.WARNING
    assert_alike(answer(decoder), expected)
    assert files(written) == []


def test_a_folder_that_cannot_be_made_is_told_once(
    network: Transformer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_bytes(b"")
    decoder = started(network, tmp_path / "file" / "snapshots")
    for _ in range(2):
        answer(decoder)
        decoder.rest(lambda: False)
    told = [record.getMessage() for record in caplog.records]
    assert sum("no snapshots are written" in line for line in told) == 1


def test_the_end_of_the_opening_stays_marked(network: Transformer) -> None:
    """Through more turns than there are marks, without any disk."""
    decoder = Decoder(network, 4096)
    said = PROMPT
    for turn in range(40):
        answer(decoder, said)
        said += ids(12, turn)
    other = ids(OPENING, 1) + ids(20, 9)
    assert answer(decoder, other) == (answer(Decoder(network, 4096), other)[0], OPENING)
