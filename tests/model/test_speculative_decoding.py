"""Speculation in a real decoder: whatever it does, nothing of an answer and of what follows changes.

The network is a random one that mostly writes the next number of a circle, so that texts are copied with
faults. Its clock counts passes, or what a test lets a pass cost: so each decision is repeatable.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Generator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from gptoss_tui.kernels.cache import SLACK, KVCache
from gptoss_tui.kernels.choose import Backend
from gptoss_tui.kernels.kernels import Precision, Stream
from gptoss_tui.model import load_model, load_tokenizer
from gptoss_tui.model.constraint import END, Constraint, Edge, State
from gptoss_tui.model.constraint.automaton import Automaton
from gptoss_tui.model.constraint.json_body import Schemas
from gptoss_tui.model.constraint.vocabulary import Vocabulary
from gptoss_tui.model.engine import Detail, Finished, Request, Sampling, Token
from gptoss_tui.model.engine.decoder import Decoder
from gptoss_tui.model.engine.prefix import FIRST_MILESTONE, Prefix
from gptoss_tui.model.transformer import Transformer

CIRCLE = 24


class Paced(Transformer):
    """A network whose passes take as long as `cost` says, on its own clock."""

    def __init__(self, network: Transformer, cost: Callable[[int], float] = lambda _: 1.0) -> None:
        vars(self).update(vars(network))
        self.cost = cost
        self.now = 0.0
        self.passes: list[int] = []

    def read(
        self,
        ids: Sequence[int],
        cache: KVCache[Any],
        before_layer: Callable[[], None] = lambda: None,
        fired: NDArray[np.int64] | None = None,
        last_only: bool = False,
    ) -> Stream:
        self.now += self.cost(len(ids))
        self.passes.append(len(ids))
        return super().read(ids, cache, before_layer, fired, last_only)


@pytest.fixture(scope="module")
def checkpoint(tiny_checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    shape = {"num_hidden_layers": 2, "num_local_experts": 4, "num_experts_per_tok": 2}
    folder = tiny_checkpoint(tmp_path_factory.mktemp("circle"), **shape)
    tensors = load_file(folder / "model.safetensors")
    embedding = tensors["model.embed_tokens.weight"] * 4
    head = tensors["lm_head.weight"] * 2
    for token in range(CIRCLE):
        head[(token + 1) % CIRCLE] += embedding[token] / 20
    tensors |= {"model.embed_tokens.weight": embedding, "lm_head.weight": head}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def network(checkpoint: Path, backend: Backend) -> Transformer:
    return load_model(checkpoint, dtype="float32", backend=backend)


def decoders(network: Transformer, context: int = 4096) -> tuple[Decoder, Decoder, Paced]:
    """One that never speculates, one that always does where it can, and the latter's network."""
    paced = Paced(network)
    return (
        Decoder(network, context, speculate=False),
        Decoder(paced, context, clock=lambda: paced.now),
        paced,
    )


def circle(start: int, count: int) -> list[int]:
    return [(start + step) % CIRCLE for step in range(count)]


def prompt(tokens: int, seed: int = 0) -> tuple[int, ...]:
    """Pieces of the circle, with other tokens between."""
    dice, ids = random.Random(seed), list[int]()
    while len(ids) < tokens:
        ids += circle(dice.randrange(CIRCLE), dice.randrange(4, 20)) + dice.choices(range(320), k=2)
    return tuple(ids[:tokens])


def answer(
    decoder: Decoder, request: Request, cancelled: Callable[[], bool] = lambda: False
) -> tuple[list[Token], Finished]:
    items = list(decoder.generate(request, cancelled))
    end = items[-1]
    assert isinstance(end, Finished)
    return [item for item in items if isinstance(item, Token)], end


def assert_same(found: list[Token], expected: list[Token], *, ties: bool = False) -> None:
    """With `ties`, alternatives that differ by no more than rounding may change places."""
    assert [t.id for t in found] == [t.id for t in expected]
    assert [t.logprob for t in found] == pytest.approx([t.logprob for t in expected], abs=2e-4)
    assert [t.experts for t in found] == [t.experts for t in expected]
    for one, other in zip(found, expected, strict=True):
        wanted = [a.logprob for a in other.alternatives]
        if ties:
            by_id = {a.id: a.logprob for a in other.alternatives}
            for a in one.alternatives:
                assert a.logprob == pytest.approx(by_id.get(a.id, wanted[-1]), abs=2e-4)
        else:
            assert [a.id for a in one.alternatives] == [a.id for a in other.alternatives]
        assert [a.logprob for a in one.alternatives] == pytest.approx(wanted, abs=2e-4)


@given(
    seed=st.integers(0, 10**6),
    temperature=st.sampled_from([0.0, 0.5, 0.8, 1.0]),
    top_p=st.sampled_from([1.0, 0.9]),
)
@settings(max_examples=12)
def test_answers_are_those_of_plain_decoding(
    network: Transformer, seed: int, temperature: float, top_p: float
) -> None:
    """The ids, for the same random numbers are drawn in the same order; and all that is told of each.

    Plain PyTorch rounds a pass of several tokens otherwise than single ones, which may decide a draw,
    and the order of alternatives that are nearly as likely.
    """
    if network.backend == "plain":
        temperature = 0.0
    plain, fast, _ = decoders(network)
    for turn in range(2):
        request = Request(
            prompt(30 + seed % 120, seed + turn),
            Sampling(temperature, top_p, seed=seed, max_tokens=80),
            detail=Detail.ALTERNATIVES | Detail.EXPERTS,
        )
        ties = network.backend == "plain"
        assert_same(answer(fast, request)[0], answer(plain, request)[0], ties=ties)


@pytest.mark.parametrize("threads", [1, 5])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_native_drafts_change_no_bit(
    checkpoint: Path, backend: Backend, dtype: Precision, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where rings begin again, and where threads begin to share the positions of a head."""
    if backend == "plain":
        pytest.skip("PyTorch takes sums of several tokens in another order")
    monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
    network = load_model(checkpoint, dtype=dtype, backend=backend)
    for length in (3, 20, 505, 530):
        text = prompt(length + SLACK)
        cache = network.new_cache()
        network.read(text[:length], cache)
        place = cache.snapshot()
        single = np.concatenate([network.read([token], cache)[:] for token in text[length:]])
        for size in (2, 3, 7, 8, 16):
            cache.restore(place)
            assert np.array_equal(network.read(text[length : length + size], cache)[:], single[:size])


def test_speculation_is_really_tried_there(network: Transformer) -> None:
    plain, fast, paced = decoders(network)
    request = Request(prompt(60), Sampling(0, max_tokens=200))
    tokens, end = answer(fast, request)
    assert set(paced.passes[1:]) == {1, 2, 4, 8, 16}
    assert 0 < end.accepted < end.drafted == sum(paced.passes[1:]) - len(paced.passes[1:])
    assert end.accepted + len(paced.passes) == len(tokens)
    assert answer(plain, request)[1].drafted == 0


def test_tokens_come_as_often_as_the_network_says(network: Transformer) -> None:
    """Chi-square, by the probabilities of a network that reads the whole text at once.

    Drawn tokens are counted by their rank in the distribution of their place, and at drafted places whether
    they are the guess; by the place in the pass, for a mistake may show in the first or the last alone.
    """
    _, fast, paced = decoders(network)
    observed: dict[tuple[str, int], float] = {}
    expected: dict[tuple[str, int], float] = {}
    spread: dict[tuple[str, int], float] = {}
    for seed in range(60):
        text = list(prompt(60, seed))
        request = Request(tuple(text), Sampling(0.7, seed=seed, max_tokens=80))
        tokens, passes = [], []
        for item in fast.generate(request, lambda: False):
            if isinstance(item, Token):
                tokens.append(item.id)
                passes.append(len(paced.passes))
        logits = torch.from_numpy(network(text + tokens[:-1])[len(text) - 1 :])
        shares = (logits.double() / 0.7).softmax(-1)
        order = shares.argsort(-1, descending=True)
        for step, token in enumerate(tokens):
            place = passes[:step].count(passes[step])
            drafted = paced.passes[passes[step] - 1] > 1
            kind = f"drafted {min(place, 2)}" if drafted else "plain"
            rank = min(int((order[step] == token).nonzero()), 3)
            for cell in range(4):
                share = float(shares[step, order[step, cell : cell + 1 if cell < 3 else None]].sum())
                key = kind, cell
                observed[key] = observed.get(key, 0) + (rank == cell)
                expected[key] = expected.get(key, 0) + share
                spread[key] = spread.get(key, 0) + share * (1 - share)
    assert {kind for kind, _ in observed} == {"plain", "drafted 0", "drafted 1", "drafted 2"}
    for key, share in expected.items():
        assert spread[key] > 5, "enough to tell"
        assert abs(observed[key] - share) < 4 * math.sqrt(spread[key]), key


@given(
    walk=st.lists(st.tuples(st.integers(0, 15), st.integers(0, 15)), min_size=1, max_size=30),
    start=st.integers(FIRST_MILESTONE - 40, FIRST_MILESTONE + 10),
)
@settings(max_examples=15)
def test_any_walk_of_drafts_ends_in_the_cache_of_plain_reading(
    network: Transformer, walk: list[tuple[int, int]], start: int
) -> None:
    """Around a milestone: what is kept of each draft is all that is left of it, and marks lie as ever."""
    prefix, plain = Prefix(network), Prefix(network)
    text = list(prompt(start))
    prefix.read(text)
    plain.read(text)
    for step, (drafted, kept) in enumerate(walk):
        draft = random.Random(step).choices(range(320), k=min(drafted, prefix.draftable))
        prefix.read([step, *draft])
        added = [step, *draft[:kept]]
        text += added
        prefix.cut(len(text))
        for token in added:
            plain.read([token])
    for one in (prefix, plain):
        assert one.rewind([*text, 7]) == len(text)
    torch.testing.assert_close(prefix.read([7]), plain.read([7]), rtol=0, atol=2e-3)
    other = [*text[:-1], 9, 9]
    kept = prefix.rewind(other)
    assert kept == plain.rewind(other)
    torch.testing.assert_close(prefix.read(other[kept:]), plain.read(other[kept:]), rtol=0, atol=2e-3)


def remembered(decoder: Decoder, said: tuple[int, ...]) -> int:
    """How many tokens of a prompt that goes on after `said` need not be read again."""
    return decoder._prefix.rewind((*said, 300, 301))


def test_every_end_leaves_the_memory_of_plain_decoding(network: Transformer) -> None:
    """A stop id, a bound, a cancellation or the context's end, at tokens within drafts."""
    text = prompt(60)
    whole = [token.id for token in answer(decoders(network)[0], Request(text, Sampling(0, max_tokens=60)))[0]]
    passes = 0
    for count in range(1, 60, 4):
        stop, free = whole[count], Sampling(0, max_tokens=60)
        for request, context, most in (
            (Request(text, free, (stop, 319)), 4096, 60),
            (Request(text, Sampling(0, max_tokens=count)), 4096, 60),
            (Request(text, free), 4096, count),
            (Request(text, Sampling(0)), len(text) + count, 60),
        ):
            plain, fast, paced = decoders(network, context)
            ends = []
            for decoder in (plain, fast):
                told: list[Token] = []
                for item in decoder.generate(request, partial(has, told, most)):
                    if isinstance(item, Token):
                        told.append(item)
                assert isinstance(item, Finished)
                ids = [token.id for token in told]
                assert ids == whole[: whole.index(stop) + 1 if request.stop_ids else count]
                assert len(decoder._prefix._ids) <= context
                ends.append((item.reason, decoder._prefix._ids[:]))
            assert ends[0] == ends[1]
            assert (
                remembered(fast, (*text, *ids))
                == remembered(plain, (*text, *ids))
                == len(text) + len(ids) - 1
            )
            passes += len(paced.passes)
    assert passes < 15 * 4 * 25


def has(told: list[Token], count: int) -> bool:
    return len(told) >= count


def test_a_pass_is_left_between_two_layers(network: Transformer) -> None:
    text = prompt(60)
    plain, fast, paced = decoders(network)
    request = Request(text, Sampling(0, max_tokens=100))
    tokens, end = answer(fast, request, lambda: paced.passes[1:] != [] and paced.passes[-1] >= 4)
    assert end.reason == "cancelled"
    assert sum(paced.passes) > len(text) + len(tokens) + 1, "a pass of several was left"
    expected = answer(plain, Request(text, Sampling(0, max_tokens=len(tokens))))[0]
    assert_same(tokens, expected)
    said = (*text, *(token.id for token in tokens))
    assert remembered(fast, said) == len(said) - 1
    again = Request((*said, 7, 8), Sampling(0, max_tokens=40))
    assert_same(answer(fast, again)[0], answer(plain, again)[0])


def test_an_answer_that_is_closed_within_a_draft(network: Transformer) -> None:
    text = prompt(60)
    for count in range(20, 30):
        plain, fast, _ = decoders(network)
        request = Request(text, Sampling(0, max_tokens=60))
        for decoder in (plain, fast):
            items = decoder.generate(request, lambda: False)
            assert isinstance(items, Generator)
            said = [item.id for item in islice((i for i in items if isinstance(i, Token)), count)]
            items.close()
        assert plain._prefix._ids == fast._prefix._ids == [*text, *said[:-1]]
        assert remembered(fast, (*text, *said)) == len(text) + count - 1


def test_a_fault_in_the_network_leaves_a_decoder_that_works(network: Transformer) -> None:
    plain, fast, paced = decoders(network)
    request = Request(prompt(60), Sampling(0, max_tokens=60))

    def fail(tokens: int) -> float:
        if 2 <= tokens < 20:
            raise RuntimeError("out of memory")
        return 1.0

    paced.cost = fail
    with pytest.raises(RuntimeError, match="out of memory"):
        answer(fast, request)
    paced.cost = lambda _: 1.0
    assert_same(answer(fast, request)[0], answer(plain, request)[0])


@pytest.mark.parametrize("seed", range(3))
def test_constraints_hold_as_ever(network: Transformer, checkpoint: Path, seed: int) -> None:
    """The masks are those of the tokens before, and a document is closed in time: by two draws of a token."""
    tokenizer = load_tokenizer(checkpoint)
    schemas, end = Schemas(Vocabulary(tokenizer, 320)), tokenizer.encode_single_token("<|return|>")
    schema = {"type": "array", "items": {"enum": ["said again", "and again"]}, "minItems": 3}
    states = (State((Edge("", end, END),), "json", json.dumps(schema)),)
    constraint = Constraint(states, 0, True, end, 0)
    request = Request(prompt(60), Sampling(seed=seed, max_tokens=150), (end,))
    found = []
    for decoder in decoders(network)[:2]:
        items = list(decoder.generate(request, lambda: False, Automaton(constraint, schemas)))
        found.append([item for item in items if isinstance(item, Token)])
    assert_same(found[1], found[0])
    json.loads(tokenizer.decode_bytes([token.id for token in found[1][:-1]]))
    last = items[-1]
    assert isinstance(last, Finished)
    assert last.accepted > 5


@pytest.mark.parametrize(
    ("cost", "least", "most"),
    [
        ([1, 1.63, 2.41, 3.7, 5.2], 1.4, 3),  # gpt-oss-20b, measured
        ([1, 2.4, 2.5, 2.6, 2.8], 1.4, 6),  # where two tokens do not pay, but more do
        ([1, 2, 4, 8, 16], 0.97, 1.01),  # where nothing does
        ([1, 4, 8, 16, 32], 0.97, 1.01),
    ],
)
def test_copying_pays_where_passes_do(
    network: Transformer, cost: list[float], least: float, most: float
) -> None:
    """Four answers of one decoder, in times of plain decoding."""
    _, fast, paced = decoders(network)
    paced.cost = lambda tokens: cost[tokens.bit_length() - 1] if tokens <= 16 else 0.0
    told = 0
    for start in range(4):
        text = (*circle(start, 60), 3 * start)
        told += len(answer(fast, Request(text, Sampling(0, max_tokens=250)))[0])
    assert least <= (told - 4) / (paced.now - 4) <= most


def test_it_can_be_switched_off(network: Transformer) -> None:
    paced = Paced(network)
    decoder = Decoder(paced, 4096, speculate=False, clock=lambda: paced.now)
    assert answer(decoder, Request(prompt(60), Sampling(0, max_tokens=100)))[1].drafted == 0
    assert set(paced.passes[1:]) == {1}
