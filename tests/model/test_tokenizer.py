"""The tokenizer built from tokenizer.json against tiktoken's own o200k_harmony, and on a tiny vocabulary."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiktoken
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gptoss_tui.model import load_tokenizer
from gptoss_tui.model.errors import CheckpointError

NAMED = {
    "<|startoftext|>": 199998,
    "<|endoftext|>": 199999,
    "<|return|>": 200002,
    "<|constrain|>": 200003,
    "<|channel|>": 200005,
    "<|start|>": 200006,
    "<|end|>": 200007,
    "<|message|>": 200008,
    "<|call|>": 200012,
    "<|endofprompt|>": 200018,
}
SAMPLES = [
    "Hello, world! It's 3:45 and I'LL be late.",
    "1234567 + 89 == 1234656\n\n\n  \tdef f(x):\r\n    return x",
    "naïve Ünïcödé 你好世界 привет 🤖💖👩‍👩‍👧 \u200d \u00a0 \x00\x7f",
    "<|start|>system<|message|> is only text here <|end|>",
    " " * 40 + "end",
    "",
]


def released_json(oracle: tiktoken.Encoding) -> dict[str, Any]:
    """The released tokenizer.json's form, letters by the rule of GPT-2's encoder rather than by our table."""
    letters: dict[int, str] = {}
    shifted = 0
    for byte in range(256):
        keeps = 0x21 <= byte <= 0x7E or 0xA1 <= byte <= 0xAC or byte >= 0xAE
        letters[byte] = chr(byte if keeps else 256 + shifted)
        shifted += not keeps
    unnamed = set(range(199_998, 200_019)) - set(NAMED.values())
    added = {id_: name for name, id_ in NAMED.items()} | {id_: f"<|reserved_{id_}|>" for id_ in unnamed}
    split = {"type": "Split", "pattern": {"Regex": oracle._pat_str}, "behavior": "Isolated", "invert": False}
    ranks = {rank: oracle.decode_single_token_bytes(rank) for rank in range(199_998)}
    return {
        "added_tokens": [{"id": id_, "content": added[id_], "special": True} for id_ in sorted(added)],
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [split, {"type": "ByteLevel", "use_regex": False}],
        },
        "model": {
            "type": "BPE",
            "vocab": {"".join(letters[byte] for byte in token): rank for rank, token in ranks.items()},
        },
    }


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's cache folder, empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "gptoss-chat" / "tokenizers"


@pytest.fixture
def tiny(tmp_path: Path, tiny_checkpoint: Callable[..., Path]) -> Path:
    """267 ids of bytes and merges, 9 specials, 320 rows."""
    return tiny_checkpoint(tmp_path / "tiny")


def set_rows(folder: Path, rows: int) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": rows}))


def test_the_released_vocabulary_is_o200k_harmony(tiny: Path, cache: Path, o200k: tiktoken.Encoding) -> None:
    set_rows(tiny, 201_088)
    (tiny / "tokenizer.json").write_text(json.dumps(released_json(o200k)))
    parsed = load_tokenizer(tiny)
    (kept,) = cache.iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    remembered = load_tokenizer(tiny)
    kept.write_bytes(kept.read_bytes()[:-20])
    reparsed = load_tokenizer(tiny)
    for tokenizer in (parsed, remembered, reparsed):
        assert tokenizer.n_vocab == o200k.n_vocab == 201_088
        for name, id_ in NAMED.items():
            assert tokenizer.encode_single_token(name) == id_
        assert tokenizer.decode([200_000, 201_087]) == "<|reserved_200000|><|reserved_201087|>"
        for sample in SAMPLES:
            assert tokenizer.encode_ordinary(sample) == o200k.encode_ordinary(sample)


def test_many_more_rows_than_tokens_are_refused_at_once(tiny: Path) -> None:
    set_rows(tiny, 1 << 22)
    assert "the network 4,194,304 rows" in refusal(tiny)


@given(texts=st.lists(st.text(), min_size=20, max_size=20))
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_survives_the_tiny_vocabulary(tiny: Path, texts: list[str]) -> None:
    tokenizer = load_tokenizer(tiny)
    for text in (*SAMPLES, *texts):
        assert tokenizer.decode(tokenizer.encode_ordinary(text)) == text


def test_the_tiny_vocabulary(tiny: Path, cache: Path) -> None:
    tokenizer = load_tokenizer(tiny)
    specials = json.loads((tiny / "tokenizer.json").read_text())["added_tokens"]
    first_free = specials[-1]["id"] + 1
    assert tokenizer.n_vocab == 320
    assert tokenizer.encode_single_token("<|call|>") == first_free - 1
    assert tokenizer.decode([first_free, 319]) == f"<|reserved_{first_free}|><|reserved_319|>"
    the = json.loads((tiny / "tokenizer.json").read_text())["model"]["vocab"]["Ġthe"]
    assert tokenizer.encode_ordinary(" the") == [the]
    assert not cache.exists()  # small files are parsed at once


def test_added_tokens_may_stand_in_the_vocabulary_too(tiny: Path) -> None:
    before = load_tokenizer(tiny)
    edit(tiny, lambda v: v["model"]["vocab"].update({t["content"]: t["id"] for t in v["added_tokens"]}))
    after = load_tokenizer(tiny)
    assert after.encode_ordinary("<|start|> the") == before.encode_ordinary("<|start|> the")


def test_a_cache_that_cannot_be_written_is_no_fault(tiny: Path, cache: Path) -> None:
    file = tiny / "tokenizer.json"
    file.write_text(file.read_text() + " " * (1 << 20))  # large enough to be worth caching
    cache.parent.parent.mkdir(parents=True)
    cache.parent.write_text("a file where the folder should be")
    assert load_tokenizer(tiny).n_vocab == 320
    cache.parent.unlink()
    load_tokenizer(tiny)
    assert len(list(cache.iterdir())) == 1


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    values = json.loads((folder / "tokenizer.json").read_text())
    change(values)
    (folder / "tokenizer.json").write_text(json.dumps(values))


def refusal(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_tokenizer(folder)
    message = str(caught.value)
    assert str(folder / "tokenizer.json") in message and message.count("\n") < 3
    return message


def test_no_file(tiny: Path) -> None:
    (tiny / "tokenizer.json").unlink()
    assert "no such file" in refusal(tiny)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xff", b"[" * 100_000])
def test_not_json(tiny: Path, content: bytes) -> None:
    (tiny / "tokenizer.json").write_bytes(content)
    assert "not valid JSON" in refusal(tiny)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: v.clear(), "not a byte-level BPE"),
        (lambda v: v["pre_tokenizer"].update(pretokenizers=[]), "not a byte-level BPE"),
        (lambda v: v["model"]["vocab"].update({"\u2581the": 300}), "not a byte-level BPE"),
        (lambda v: v["model"].update(type="WordPiece"), "a WordPiece model"),
        (
            lambda v: v["pre_tokenizer"]["pretokenizers"][0].update(pattern={"Regex": "("}),
            "tiktoken refuses it",
        ),
        (lambda v: v["added_tokens"].pop(), "lacks the harmony tokens <|call|>"),
        (lambda v: v["model"]["vocab"].pop("a"), "lacks some of the 256 single bytes"),
        (lambda v: v["model"]["vocab"].update(the=5), "one id to several tokens"),
        (lambda v: v["model"]["vocab"].update(the=320), "its ids reach 320, the network has only 320 rows"),
        (lambda v: v["model"]["vocab"].update(the=-1), "one id to several tokens"),
    ],
)
def test_a_tokenizer_that_does_not_belong(
    tiny: Path, change: Callable[[dict[str, Any]], object], words: str
) -> None:
    edit(tiny, change)
    assert words in refusal(tiny)


def test_a_vocabulary_of_the_released_size_has_the_released_ids(tiny: Path) -> None:
    set_rows(tiny, 201_088)
    assert "expected 200006" in refusal(tiny)
