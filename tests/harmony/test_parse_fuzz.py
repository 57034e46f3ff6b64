"""Random and mutated samples: whatever the ids, the parser reads them, loses nothing and invents nothing.

The official parser is the second judge: where ours reports no repair, it must read the same messages.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import traceback
from collections import Counter
from collections.abc import Callable

import pytest
import tiktoken

from gptoss_tui.harmony import Channel, Closed, Opened, Parser, Repair, Role, Text
from gptoss_tui.harmony.parse import Piece

Judge = Callable[[list[int], list[Piece]], str]

FEW, MANY = 20_000, 1_000_000
TOOLS = frozenset({"python", "functions.get_weather", "functions.now"})
START, END, MESSAGE, CHANNEL, CONSTRAIN, CALL, RETURN, END_OF_TEXT = (
    200006,
    200007,
    200008,
    200005,
    200003,
    200012,
    200002,
    199999,
)
THOUGHT = [CHANNEL, 35644]
STOPS = (RETURN, CALL, END_OF_TEXT)
CONTROL = (START, END, MESSAGE, CHANNEL, CONSTRAIN, *STOPS)
TEXT_LIMIT = 199_998
VOCABULARY = 201_088
HEADERS = [
    "<|channel|>analysis",
    "<|channel|>final",
    "<|channel|>final <|constrain|>json",
    "<|channel|>commentary",
    " to=python<|channel|>analysis code",
    "<|channel|>analysis to=python code",
    " to=functions.get_weather<|channel|>commentary <|constrain|>json",
    "<|channel|>commentary to=functions.get_weather <|constrain|>json",
    " to=functions.now<|channel|>commentary json",
]
WORDS = ["assistant", "user", "system", "python", "functions", ".now", ".get", "_weather", " to", "=", "json"]
WORDS += [
    " code",
    "analysis",
    "comment",
    "ary",
    "final",
    "?",
    "??",
    " all",
    "\n",
    " ",
    "Hello",
    "{}",
    ":",
    "<|",
]
WITNESSES = [" zebra", " Oslo", " violin", " marble", "Quick", "123"]
"""Words without meaning in a header: the parser must return each one that it reads."""
BROKEN_CHARACTERS = (9552, 31446, 244, 127, 200)


class Samples:
    """An endless source of samples: well-formed ones, the same with one to five edits, and random ids."""

    def __init__(self, tokenizer: tiktoken.Encoding, seed: int) -> None:
        def encode(text: str) -> list[int]:
            return tokenizer.encode(text, allowed_special="all")

        self._random = random.Random(seed)
        self._headers = [(encode(text), " to=" in text) for text in HEADERS]
        self._bodies = [
            encode(text) for text in ("", "Hm, 2 + 2.", '{"city":"Oslo"}', "print('💖')", " zebra 了")
        ]
        self._assistant = encode("assistant")
        self._words = [token for word in WORDS for token in encode(word)]
        self._witnesses = [token for word in WITNESSES for token in encode(word)]
        assert len(self._witnesses) == len(WITNESSES)

    def well_formed(self) -> list[int]:
        pick = self._random
        ids: list[int] = []
        for count in range(pick.choice((1, 1, 2, 2, 3, 5))):
            header, is_call = pick.choice(self._headers)
            body = pick.choice(self._bodies) + pick.choices(self._witnesses, k=pick.randrange(3))
            ids += [START, *self._assistant][: 2 * min(count, 1)] + header + [MESSAGE, *body]
            ids.append(CALL if is_call else END)
            if is_call:
                return ids
        return [*ids[:-1], RETURN]

    def mutated(self) -> list[int]:
        ids = self.well_formed()
        pick = self._random
        for _ in range(pick.randint(1, 5)):
            at = pick.randrange(len(ids) + 1)
            match pick.randrange(6):
                case 0:
                    del ids[at : at + 1]
                case 1:
                    ids.insert(at, self._any())
                case 2:
                    ids[at : at + 1] = [self._any()]
                case 3:
                    ids[at:at] = ids[at : at + 3]
                case 4:
                    ids[at : at + 2] = reversed(ids[at : at + 2])
                case 5 if pick.random() < 0.3:
                    del ids[at:]
        return ids

    def random(self) -> list[int]:
        return [self._any() for _ in range(self._random.randrange(40))]

    def _any(self) -> int:
        pick = self._random
        kind = pick.random()
        if kind < 0.45:
            return pick.choice(CONTROL)
        if kind < 0.70:
            return pick.choice(self._words)
        if kind < 0.85:
            return pick.choice(self._witnesses)
        if kind < 0.90:
            return pick.choice(BROKEN_CHARACTERS)
        if kind < 0.97:
            return pick.randrange(VOCABULARY)
        return pick.choice(
            (-1, -(2**70), VOCABULARY, 2**31, 2**70, 200_018, 199_998, pick.randint(200_013, 201_087))
        )


def check(
    tokenizer: tiktoken.Encoding, ids: list[int], channel: Channel | None = None
) -> tuple[int, list[Piece]]:
    """Read `ids` with every promise of the parser checked; returns how many were read, and the pieces."""
    parser = Parser(tokenizer, recipients=TOOLS, channel=channel)
    fed: list[tuple[int, list[Piece]]] = []
    read = len(ids)
    for count, token in enumerate(ids):
        if parser.ended:
            read = min(read, count)
        fed.append((token, parser.feed(token)))
    pieces = [piece for _, some in fed for piece in some]
    pieces += (last := parser.finish())
    assert parser.ids == ids
    assert parser.ended
    assert not any(some for _, some in fed[read:]), "nothing is read after the end"
    assert not parser.feed(START) and not parser.finish()

    _check_order(pieces)
    opening: list[tuple[int, list[Piece]]] = [(MESSAGE, pieces[:1])] if channel else []
    _check_bodies(tokenizer, [*opening, *fed[:read], (RETURN, last)])
    _check_thoughts(fed[:read])
    _check_calls(tokenizer, ids[:read], pieces)
    _check_nothing_is_lost(tokenizer, ids[:read], pieces)
    return read, pieces


def _check_order(pieces: list[Piece]) -> None:
    """Messages open, stream and close in order; the streamed text is the message's, and the assistant's."""
    opened: Opened | None = None
    shown = ""
    for piece in pieces:
        match piece:
            case Opened():
                assert opened is None
                opened, shown = piece, ""
            case Text(delta):
                assert opened is not None and delta
                shown += delta
            case Closed(message):
                assert opened is not None
                assert message.role is Role.ASSISTANT and message.name is None
                assert message.text == shown
                assert (message.channel, message.recipient) == (opened.channel, opened.recipient)
                assert message.content_type == opened.content_type
                opened = None
            case Repair(what):
                assert what and "\n" not in what
    assert opened is None


def _check_bodies(tokenizer: tiktoken.Encoding, fed: list[tuple[int, list[Piece]]]) -> None:
    """The text of a message consists of the bytes of its tokens, with bad ones replaced."""
    body: list[bytes] | None = None
    for token, pieces in fed:
        for piece in pieces:
            if body is not None and isinstance(piece, Closed):
                assert piece.message.text == b"".join(body).decode("utf-8", "replace")
                body = None
        if body is not None and _says_something(token) and (token != MESSAGE or body):
            body.append(tokenizer.decode_single_token_bytes(token))
        if token == MESSAGE and pieces and isinstance(pieces[-1], Opened):
            body = []


def _check_thoughts(fed: list[tuple[int, list[Piece]]]) -> None:
    """A message whose header ends in the channel of reasoning is reasoning or a call."""
    opened: Opened | None = None
    for count, (token, pieces) in enumerate(fed):
        for piece in pieces:
            opened = piece if isinstance(piece, Opened) else None if isinstance(piece, Closed) else opened
        if token == MESSAGE and [token for token, _ in fed[max(count - 2, 0) : count]] == THOUGHT:
            assert opened is None or opened.recipient or opened.channel is Channel.ANALYSIS


def _check_calls(tokenizer: tiktoken.Encoding, ids: list[int], pieces: list[Piece]) -> None:
    """A tool on offer is called only where the model wrote its name, as a whole, after a `to=`."""
    written = b"".join(tokenizer.decode_single_token_bytes(token) for token in ids if _says_something(token))
    for piece in pieces:
        if isinstance(piece, Closed) and piece.message.recipient in TOOLS:
            assert b"to=" + piece.message.recipient.encode() in written


def _says_something(token: int) -> bool:
    return token in CONTROL or 0 <= token < TEXT_LIMIT


def _check_nothing_is_lost(tokenizer: tiktoken.Encoding, ids: list[int], pieces: list[Piece]) -> None:
    """Every witness read is in a message, a header or the words of a repair; only a forgery is removed."""
    repairs = [piece.what for piece in pieces if isinstance(piece, Repair)]
    if any("tried to speak as" in what for what in repairs):
        ids = ids[:-1]  # what ended the forged header, perhaps another start
        ids = ids[: len(ids) - ids[::-1].index(START)]
    messages = [piece.message for piece in pieces if isinstance(piece, Closed)]
    kept = "\n".join([*repairs, *(f"{m.text}\n{m.recipient}\n{m.content_type}" for m in messages)])
    for word in WITNESSES:
        assert kept.count(word.strip()) >= ids.count(tokenizer.encode_single_token(word)), word


def check_silence(judge: Judge, ids: list[int], pieces: list[Piece]) -> None:
    """Where our parser reports no repair, the official one reads the same: the sample was well formed.

    A stop after an `<|end|>` is an error to it (vllm-project/vllm#50690), and the end of a sample to ours.
    """
    if not ids or any(isinstance(piece, Repair) for piece in pieces):
        return
    if ids[-2:-1] == [END] and ids[-1] in STOPS:
        ids = ids[:-1]
    assert judge(ids, pieces) == "agrees"


def fuzz(tokenizer: tiktoken.Encoding, judge: Judge, seed: int, count: int) -> Counter[str]:
    """Check `count` samples, a fifth of them random ids; the official verdicts on the mutated ones."""
    samples = Samples(tokenizer, seed)
    verdicts: Counter[str] = Counter()
    for number in range(count):
        ids = samples.random() if number % 5 == 0 else samples.mutated()
        try:
            read, pieces = check(tokenizer, ids)
            check_silence(judge, ids[:read], pieces)
            if number % 5 == 0:
                check(tokenizer, ids, [*Channel][number % 3])
        except BaseException as error:
            error.add_note(f"seed {seed}, sample {number}: {ids}")
            raise
        if number % 5:
            verdicts[judge(ids, pieces)] += 1
    return verdicts


def test_random_and_mutated_samples_are_read_whole(o200k: tiktoken.Encoding, judge: Judge) -> None:
    fuzz(o200k, judge, seed=1, count=FEW)


def test_the_samples_that_are_mutated_are_well_formed(o200k: tiktoken.Encoding, judge: Judge) -> None:
    samples = Samples(o200k, seed=0)
    for _ in range(500):
        ids = samples.well_formed()
        _, pieces = check(o200k, ids)
        assert not any(isinstance(piece, Repair) for piece in pieces)
        assert judge(ids, pieces) == "agrees"


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_million_samples_are_read_whole(
    o200k: tiktoken.Encoding, judge: Judge, capsys: pytest.CaptureFixture[str]
) -> None:
    chunk = FEW // 2
    results: multiprocessing.Queue[Counter[str] | str] = multiprocessing.get_context("fork").Queue()

    def work(first: int, step: int) -> None:
        for seed in range(first, MANY // chunk, step):
            try:
                results.put(fuzz(o200k, judge, 1000 + seed, chunk))
            except BaseException as error:
                results.put("".join(traceback.format_exception(error)))
                raise

    workers = len(os.sched_getaffinity(0))
    processes = [
        multiprocessing.get_context("fork").Process(target=work, args=(first, workers), daemon=True)
        for first in range(workers)
    ]
    for process in processes:
        process.start()
    verdicts: Counter[str] = Counter()
    for done in range(1, MANY // chunk + 1):
        result = results.get()
        assert isinstance(result, Counter), result
        verdicts += result
        with capsys.disabled():
            print(f"\r{done * chunk:,} of {MANY:,} samples", end="", flush=True)
    for process in processes:
        process.join()
    mutated = verdicts.total()
    raised, forged = verdicts["raises"] / mutated, verdicts["forged"] / mutated
    with capsys.disabled():
        print(
            f"\nOurs read all of them. Of {mutated:,} mutated ones the official parser raised on {raised:.1%}"
        )
        print(f"and accepted a forged author in {forged:.1%}.")
    assert verdicts["raises"] and verdicts["forged"], "or the mutations are too tame"
