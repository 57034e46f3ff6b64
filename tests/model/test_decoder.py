"""The decoder and its memory of earlier prompts, on a real tiny network in this process."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
import torch

from gptoss_tui.kernels import choose
from gptoss_tui.kernels.choose import Backend
from gptoss_tui.kernels.reference import Reference
from gptoss_tui.model import load_model
from gptoss_tui.model.demo import checkpoint_path
from gptoss_tui.model.engine import Detail, EngineError, Finished, PrefillProgress, Request, Sampling, Token
from gptoss_tui.model.engine.decoder import Decoder
from gptoss_tui.model.engine.prefix import FIRST_MILESTONE, SNAPSHOTS, Prefix
from gptoss_tui.model.transformer import Transformer

GREEDY = Sampling(temperature=0, max_tokens=4)


@pytest.fixture(scope="module")
def checkpoint(tiny_checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    shape = {"num_hidden_layers": 2, "num_local_experts": 4, "num_experts_per_tok": 2}
    return tiny_checkpoint(tmp_path_factory.mktemp("tiny"), **shape)


@pytest.fixture(scope="module")
def network(checkpoint: Path, backend: Backend) -> Transformer:
    return load_model(checkpoint, dtype="float32", backend=backend)


def ids(count: int, seed: int) -> list[int]:
    return random.Random(seed).choices(range(320), k=count)


def run(
    decoder: Decoder,
    prompt: list[int],
    sampling: Sampling = GREEDY,
    cancelled: Callable[[], bool] = lambda: False,
) -> tuple[list[Token], PrefillProgress, Finished]:
    """Everything that a generation yields: its tokens, the last progress of the prompt, and the end."""
    items = list(decoder.generate(Request(tuple(prompt), sampling), cancelled))
    tokens = [item for item in items if isinstance(item, Token)]
    prefills = [item for item in items if isinstance(item, PrefillProgress)]
    assert [type(item) for item in items] == [PrefillProgress] * len(prefills) + [Token] * len(tokens) + [
        Finished
    ]
    assert [p.done for p in prefills] == sorted(p.done for p in prefills)
    assert {(p.total, p.cached) for p in prefills} == {(len(prompt), prefills[0].done)}
    end = items[-1]
    assert isinstance(end, Finished)
    return tokens, prefills[-1], end


def check_against_fresh(network: Transformer, decoder: Decoder, prompt: list[int]) -> int:
    """The same tokens and probabilities as from an empty cache; returns how much was remembered."""
    tokens, prefill, _ = run(decoder, prompt)
    fresh, fresh_prefill, _ = run(Decoder(network, 4096), prompt)
    assert fresh_prefill.cached == 0
    assert [token.id for token in tokens] == [token.id for token in fresh]
    assert [t.logprob for t in tokens] == pytest.approx([t.logprob for t in fresh], abs=1e-4)
    return prefill.cached


def test_greedy_is_the_argmax_of_the_network(network: Transformer) -> None:
    prompt, context = ids(150, 0), ids(150, 0)
    for token in run(Decoder(network, 4096), prompt)[0]:
        logits = torch.from_numpy(network(context)[-1])
        assert token.id == int(logits.argmax())
        assert token.logprob == pytest.approx(float(logits.log_softmax(0)[token.id]), abs=1e-4)
        context.append(token.id)


@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0, 1e-40])
def test_alternatives_are_the_top_of_the_softmax(network: Transformer, temperature: float) -> None:
    prompt = tuple(ids(150, 0))
    sampling = Sampling(temperature, seed=3, max_tokens=4)
    plain = list(Decoder(network, 4096).generate(Request(prompt, sampling), lambda: False))
    request = Request(prompt, sampling, detail=Detail.ALTERNATIVES)
    told = list(Decoder(network, 4096).generate(request, lambda: False))
    tokens = [item for item in told if isinstance(item, Token)]
    assert [token.id for token in tokens] == [item.id for item in plain if isinstance(item, Token)]
    context = list(prompt)
    for token in tokens:
        scores = [score / (temperature or 1) for score in network(context)[-1].tolist()]
        peak = max(scores)
        total = math.log(sum(math.exp(score - peak) for score in scores))
        best = sorted(range(320), key=lambda id_: -scores[id_])[:5]
        assert [one.id for one in token.alternatives] == best
        expected = [scores[id_] - peak - total for id_ in best]
        if temperature > 1e-6:
            assert [one.logprob for one in token.alternatives] == pytest.approx(expected, abs=1e-3)
        assert token.alternatives[0].logprob <= 0
        assert token.experts == ()
        for one in token.alternatives:
            if one.id == token.id:
                assert token.logprob == pytest.approx(one.logprob, abs=1e-4)
        context.append(token.id)


def test_experts_are_those_of_the_token_that_was_read(network: Transformer, checkpoint: Path) -> None:
    """By the router's own scores in plain PyTorch, for each token of the whole text read at once."""
    prompt = tuple(ids(150, 0))
    request = Request(prompt, Sampling(0, max_tokens=6), detail=Detail.EXPERTS)
    told = list(Decoder(network, 4096).generate(request, lambda: False))
    tokens = [item for item in told if isinstance(item, Token)]
    plain = load_model(checkpoint, dtype="float32", backend="plain")
    kernels, text = plain.kernels, [*prompt, *(token.id for token in tokens[:-1])]
    assert isinstance(kernels, Reference)
    x, cache, expected = kernels.embed(text), plain.new_cache(len(text)), []
    for layer, weights in enumerate(kernels.layers):
        x = kernels.attend(layer, x, cache)
        normed = x / (x.square().mean(-1, keepdim=True) + network.config.rms_norm_eps).sqrt()
        scores = (normed * weights.experts_norm) @ weights.router.weight.T + weights.router.bias
        expected.append(scores.argsort(dim=-1, descending=True)[:, :2].tolist())
        x = kernels.mix(layer, x)
    first = len(prompt) - 1
    assert len(tokens) == 6
    assert [token.experts for token in tokens] == [
        tuple(tuple(layer[first + step]) for layer in expected) for step in range(6)
    ]
    assert len({token.experts for token in tokens}) > 1
    assert not any(token.alternatives for token in tokens)


def test_the_next_turn_goes_on_from_the_end_of_the_last_prompt(network: Transformer) -> None:
    decoder, prompt = Decoder(network, 4096), ids(300, 1)
    run(decoder, prompt)
    # The answer's analysis is dropped, so the next prompt parts from what was read where the answer began.
    assert check_against_fresh(network, decoder, prompt + ids(60, 2)) == 299


def test_a_tool_result_goes_on_from_all_that_was_read(network: Transformer) -> None:
    decoder, prompt = Decoder(network, 4096), ids(40, 1)
    answer = [token.id for token in run(decoder, prompt)[0]]
    # All but the last token drawn, which nobody has read yet.
    assert check_against_fresh(network, decoder, prompt + answer + ids(9, 3)) == 40 + 4 - 1


@pytest.mark.parametrize("tokens", [1, 2, 40, 128, 145, FIRST_MILESTONE, FIRST_MILESTONE + 1])
def test_the_same_prompt_again_costs_one_token(network: Transformer, tokens: int) -> None:
    decoder, prompt = Decoder(network, 4096), ids(tokens, 1)
    run(decoder, prompt)
    for _ in range(2):
        assert check_against_fresh(network, decoder, prompt) == tokens - 1


def test_a_prompt_is_read_to_its_end_in_chunks(network: Transformer) -> None:
    asked = count()
    decoder = Decoder(network, 4096)
    tokens, _, _ = run(decoder, ids(FIRST_MILESTONE + 40, 1), cancelled=lambda: next(asked) < 0)
    chunks_of_layers = 2 * network.config.num_hidden_layers
    assert next(asked) == chunks_of_layers + len(tokens) - 1


def test_at_least_half_of_what_is_shared_is_kept(network: Transformer) -> None:
    first = FIRST_MILESTONE
    decoder, prompt = Decoder(network, 4096), ids(2 * first + 80, 4)
    run(decoder, prompt)
    for more, kept in ((first + 30, 2 * first), (first - 90, first), (2, first), (-1, 0)):
        shared = first + more
        assert check_against_fresh(network, decoder, prompt[:shared] + ids(30, shared)) == kept


def test_any_walk_through_prompts_equals_fresh_caches(network: Transformer) -> None:
    generator, decoder, prompt = random.Random(9), Decoder(network, 4096), ids(50, 9)
    for _ in range(12):
        check_against_fresh(network, decoder, prompt)
        kept = generator.randrange(len(prompt) + 1)
        prompt = prompt[:kept] + ids(generator.randint(1, 90), seed=kept)


def test_the_number_of_snapshots_is_bounded(network: Transformer) -> None:
    prefix = Prefix(network)
    for _ in range(50):
        prefix.read(ids(FIRST_MILESTONE // 16, 0))
        prefix.mark()
    assert len(prefix._snapshots) == SNAPSHOTS
    assert {0, FIRST_MILESTONE, 2 * FIRST_MILESTONE, len(prefix._ids)} <= set(prefix._snapshots)


@pytest.mark.parametrize("checks", [0, 1, 2, 5, 6, 8])
def test_a_cancelled_generation_leaves_a_usable_memory(network: Transformer, checks: int) -> None:
    """Cancelled before each of two layers in three chunks, then after each token."""
    decoder, prompt = Decoder(network, 4096), ids(2 * FIRST_MILESTONE + 40, 10)
    asked = iter(range(1000))
    tokens, _, end = run(decoder, prompt, GREEDY, lambda: next(asked) >= checks)
    assert (end.reason, len(tokens)) == ("cancelled", max(0, checks - 2 * 3 + 1))
    check_against_fresh(network, decoder, prompt)
    check_against_fresh(network, decoder, prompt[:200] + ids(20, 11))


def test_the_ends(network: Transformer) -> None:
    decoder, prompt = Decoder(network, 64), ids(60, 12)
    free = Sampling(temperature=0)
    tokens, _, end = run(decoder, prompt, free)
    assert (len(tokens), end.reason) == (4, "context")
    assert run(decoder, prompt, Sampling(0, max_tokens=3))[2].reason == "length"
    assert run(decoder, prompt, Sampling(0, max_tokens=9))[2].reason == "context"
    bounded = Decoder(network, 64, longest=2)
    tokens_of_two, _, end = run(bounded, prompt, free)
    assert (tokens_of_two, end.reason) == (tokens[:2], "length")
    assert len(run(bounded, prompt, Sampling(0, max_tokens=3))[0]) == 3, "what is asked for counts more"
    last = list(decoder.generate(Request(tuple(prompt), free, (tokens[3].id,)), lambda: False))[-2:]
    assert [type(item) for item in last] == [Token, Finished]
    assert isinstance(last[1], Finished)
    assert last[1].reason == "stop"


@pytest.mark.parametrize(
    ("prompt", "complaint"),
    [
        ([], "empty"),
        ([1, 320], "outside 0 to 319"),
        ([-1], "outside 0 to 319"),
        (ids(64, 0), "64 tokens and the context holds 64"),
    ],
)
def test_prompts_that_cannot_be_read(network: Transformer, prompt: list[int], complaint: str) -> None:
    with pytest.raises(EngineError, match=complaint):
        next(Decoder(network, 64).generate(Request(tuple(prompt), GREEDY), lambda: False))


def test_a_seed_has_its_text_with_and_without_a_coarse_unembedding(
    native_library: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With drafts, and at any temperature; probabilities are nearly the same."""
    monkeypatch.setattr(choose, "_COARSE", 1)
    coarse = load_model(checkpoint_path(), "cpu", "float32", backend="native")
    monkeypatch.setattr(choose, "_COARSE", 1 << 40)
    plain = load_model(checkpoint_path(), "cpu", "float32", backend="native")
    assert coarse.kernels.unembedding_bytes == 1 < plain.kernels.unembedding_bytes
    prompt = random.Random(0).choices(range(2000), k=50) * 2
    for seed, temperature in enumerate([0.0, 0.5, 1.0, 1.0, 2.0]):
        sampling = Sampling(temperature, seed=seed, max_tokens=60)
        found, _, _ = run(Decoder(coarse, 4096), prompt, sampling)
        expected, _, _ = run(Decoder(plain, 4096), prompt, sampling)
        assert [token.id for token in found] == [token.id for token in expected]
        assert [t.logprob for t in found] == pytest.approx([t.logprob for t in expected], abs=0.02)
