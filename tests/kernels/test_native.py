"""The kernels in C at every level that this processor has, against the definitions in float64.

Bounds are of the arithmetic, relative to the result of a token, for the worst token: float32 sums; in the
experts, activations of few tokens as 16-bit integers; at levels with bfloat16 products, activations of many
tokens in bfloat16. Keys and values that a cache keeps in bfloat16 are rounded in the oracle too.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from networks import TensorNative
from torch import Tensor

from gptoss_tui.kernels import mxfp4
from gptoss_tui.kernels.cpu.build import Target
from gptoss_tui.kernels.kernels import LayerWeights, Linear, NetworkWeights, Precision

pytestmark = pytest.mark.usefixtures("native_library")

FLOAT32 = 5e-6
SIXTEEN_BITS = 5e-4
EIGHT_BITS = 5e-2  # for each 32 activations, of which some stand out
BFLOAT16 = 3e-2
TWO_BFLOAT16 = 2e-5  # an activation, and what is left of it
MANY = 8  # tokens from which activations are rounded to bfloat16


def natives(
    weights: NetworkWeights[Tensor], library: ctypes.CDLL, threads: int = 2, dtype: Precision = "bfloat16"
) -> Iterator[TensorNative]:
    """The kernels at every level that this processor has."""
    seen = set()
    for level in Target.here().levels:
        native = TensorNative(weights, library, threads, level=level, dtype=dtype)
        if native.engine.level not in seen:
            seen.add(native.engine.level)
            yield native


def cut(x: Tensor, cuts: list[int]) -> tuple[Tensor, ...]:
    return torch.split(x, cuts)


def bound(native: TensorNative, cuts: list[int], usual: float) -> float:
    return BFLOAT16 if "bf16" in native.engine.level and max(cuts) >= MANY else usual


def assert_near(native: TensorNative, found: Tensor, expected: Tensor, allowed: Tensor) -> None:
    """Row by row, the norm of the difference is at most that of `allowed` [rows]."""
    worst = ((found.double() - expected).norm(dim=-1) / allowed).nan_to_num(math.inf).max().item()
    assert worst <= 1, f"{worst:.3g} times the bound at level {native.engine.level}"


def norm(weights: NetworkWeights[Tensor], x: Tensor, by: Tensor) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + weights.norm_eps).sqrt() * by.double()


def project(linear: Linear[Tensor], x: Tensor) -> Tensor:
    return x @ linear.weight.double().T + linear.bias.double()


def turn(weights: NetworkWeights[Tensor], x: Tensor) -> Tensor:
    """Rotate x [heads, tokens, head_dim], positions from 0. Angles are float32, as in every engine."""
    angles = torch.outer(torch.arange(x.shape[1]).float(), weights.frequencies).double()
    cos, sin = angles.cos() * weights.concentration, angles.sin() * weights.concentration
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def attention(
    weights: NetworkWeights[Tensor], layer: LayerWeights[Tensor], x: Tensor, push: float | None
) -> Tensor:
    """What attention adds to the stream x float64 [tokens, hidden], read from the beginning.

    If `push` is given, keys and values are moved by that part of their size, and then rounded to bfloat16.
    """
    tokens, groups = len(x), len(layer.sinks) // (len(layer.k.bias) // weights.head_dim)
    normed = norm(weights, x, layer.attention_norm)

    def heads(linear: Linear[Tensor]) -> Tensor:
        return project(linear, normed).view(tokens, -1, weights.head_dim).transpose(0, 1)

    def kept(x: Tensor) -> Tensor:
        x = x if push is None else (x + push * x.square().mean().sqrt()).bfloat16().double()
        return x.repeat_interleave(groups, 0)

    scores = turn(weights, heads(layer.q)) @ kept(turn(weights, heads(layer.k))).mT / weights.head_dim**0.5
    distance = torch.arange(tokens).unsqueeze(1) - torch.arange(tokens)
    hidden = (distance < 0) | (distance >= (layer.window or tokens))
    sinks = layer.sinks.double().view(-1, 1, 1).expand(-1, tokens, 1)
    shares = torch.cat([scores.masked_fill(hidden, -math.inf), sinks], dim=-1).softmax(-1)[..., :-1]
    return project(layer.o, (shares @ kept(heads(layer.v))).transpose(0, 1).flatten(1))


def router(weights: NetworkWeights[Tensor], layer: LayerWeights[Tensor], x: Tensor) -> Tensor:
    return project(layer.router, norm(weights, x, layer.experts_norm))


def mixture(
    weights: NetworkWeights[Tensor], layer: LayerWeights[Tensor], x: Tensor, chosen: Tensor
) -> Tensor:
    """What the experts `chosen` int64 [tokens, k] add to the stream x float64 [tokens, hidden]."""
    parts, normed, out = layer.experts, norm(weights, x, layer.experts_norm), torch.zeros_like(x)
    up = mxfp4.decode(parts.gate_up_blocks, parts.gate_up_scales, torch.float64)
    down = mxfp4.decode(parts.down_blocks, parts.down_scales, torch.float64)
    shares = router(weights, layer, x).gather(1, chosen).softmax(-1)
    for expert in set(chosen.flatten().tolist()):
        both = normed @ up[expert].T + parts.gate_up_bias[expert].double()
        gate = both[:, 0::2].clamp(max=weights.swiglu_limit)
        lifted = both[:, 1::2].clamp(-weights.swiglu_limit, weights.swiglu_limit) + 1
        inner = gate * torch.sigmoid(weights.swiglu_alpha * gate) * lifted
        share = (shares * (chosen == expert)).sum(-1, keepdim=True)
        out += share * (inner @ down[expert].T + parts.down_bias[expert].double())
    return out


@dataclass(frozen=True)
class Run:
    """A network, the threads that compute it, and how many tokens are read at a time."""

    network: dict[str, Any]
    threads: int
    cuts: list[int]
    seed: int = 0

    @property
    def stream(self) -> Tensor:
        """float32 [tokens, hidden], with columns that stand out as they do in real models."""
        random = torch.Generator().manual_seed(self.seed + 1)
        x = torch.randn(sum(self.cuts), self.network.get("hidden", 64), generator=random)
        x[:, ::13] *= 20
        return x


@st.composite
def networks(draw: st.DrawFn) -> dict[str, Any]:
    kv_heads, experts = draw(st.integers(1, 3)), draw(st.integers(1, 9))
    return {
        "hidden": draw(st.sampled_from([32, 64, 96, 160, 544])),
        "inner": draw(st.sampled_from([32, 64, 96, 160, 544])),
        "heads": kv_heads * draw(st.sampled_from([1, 2, 3, 4, 5, 8])),
        "kv_heads": kv_heads,
        "head_dim": draw(st.sampled_from([32, 64, 96, 128, 256])),
        "experts": experts,
        "experts_per_token": draw(st.integers(1, min(4, experts))),
        "windows": [draw(st.sampled_from([1, 5, 8, 16, 20, 128, None]))],
        "vocab": draw(st.sampled_from([1, 16, 33, 95, 320])),
    }


CUTS = st.lists(st.integers(1, 20) | st.integers(1, 70), min_size=1, max_size=4)
THREADS = st.sampled_from([1, 2, 3, 7, 16])
RUNS = st.builds(Run, networks(), THREADS, CUTS, st.integers(0, 2**32))


@given(run=RUNS)
@example(run=Run({}, 16, [511, 1, 1, 1]))  # threads share out the positions from 512 on
@example(run=Run({"kv_heads": 1, "head_dim": 256}, 7, [640, 1]))
@example(run=Run({"windows": [16]}, 2, [15, 1, 1, 1, 15, 16, 17, 40]))
@example(run=Run({"windows": [128]}, 3, [127, 1, 1, 1, 130, 1]))
@example(run=Run({}, 2, [127, 1, 1, 1, 127, 2, 1]))
@settings(max_examples=30)
def test_attention_is_the_definition(run: Run, random_network: Any, native_library: ctypes.CDLL) -> None:
    weights, x = random_network(run.seed, **run.network), run.stream
    (layer,) = weights.layers
    exact = attention(weights, layer, x.double(), None)
    # A key between two numbers of bfloat16 may be rounded to either: activations fall to one side.
    sides = (-TWO_BFLOAT16, 0, TWO_BFLOAT16)
    low, kept, high = (attention(weights, layer, x.double(), push) for push in sides)
    either = (low - kept).norm(dim=-1) + (high - kept).norm(dim=-1)
    cases: tuple[tuple[Precision, Tensor, Tensor], ...] = (
        ("float32", exact, torch.zeros(())),
        ("bfloat16", kept, 2 * either),
    )
    for dtype, expected, slack in cases:
        for native in natives(weights, native_library, run.threads, dtype):
            cache, found = native.new_cache(capacity=1), []
            for part in cut(x, run.cuts):
                found.append(native.attend(0, part.clone(), cache) - part)
                cache.advance(len(part))
            dense = TWO_BFLOAT16 if "bf16" in native.engine.level else FLOAT32
            allowed = bound(native, run.cuts, dense) * expected.norm(dim=-1)
            assert_near(native, torch.cat(found), expected, allowed + slack)


@given(run=RUNS)
@settings(max_examples=40)
def test_the_experts_are_the_definition(run: Run, random_network: Any, native_library: ctypes.CDLL) -> None:
    weights, x = random_network(run.seed, **run.network), run.stream
    (layer,) = weights.layers
    scores = router(weights, layer, x.double())
    for native in natives(weights, native_library, run.threads):
        fired = torch.empty(len(x), weights.experts_per_token, dtype=torch.int64)
        parts = zip(cut(x, run.cuts), cut(fired, run.cuts), strict=True)
        found = torch.cat([native.mix(0, part.clone(), into) - part for part, into in parts])
        best = scores.topk(weights.experts_per_token).values
        torch.testing.assert_close(scores.gather(1, fired), best, rtol=0, atol=1e-5)
        assert all(len(set(row)) == len(row) for row in fired.tolist())
        expected = mixture(weights, layer, x.double(), fired)
        allowed = bound(native, run.cuts, SIXTEEN_BITS) * expected.norm(dim=-1)
        assert_near(native, found, expected, allowed)


@pytest.mark.parametrize("tokens", [17, 40, 300])
def test_experts_may_take_activations_of_many_tokens_in_8_bits(
    tokens: int, random_network: Any, native_library: ctypes.CDLL
) -> None:
    run = Run({"hidden": 160, "inner": 544, "experts": 3}, 2, [tokens])
    weights, x = random_network(**run.network), run.stream
    (layer,) = weights.layers
    for native in natives(weights, native_library):
        single = native.mix(0, x[:1].clone())
        if not native.engine.quicken():
            continue
        chosen = torch.empty(tokens, weights.experts_per_token, dtype=torch.int64)
        found = native.mix(0, x.clone(), chosen) - x
        expected = mixture(weights, layer, x.double(), chosen)
        assert_near(native, found, expected, EIGHT_BITS * expected.norm(dim=-1))
        assert torch.equal(native.mix(0, x[:1].clone()), single), "few tokens stay exact"


@given(run=RUNS)
@settings(max_examples=25)
def test_the_unembedding_is_the_definition(
    run: Run, random_network: Any, native_library: ctypes.CDLL
) -> None:
    weights, x = random_network(run.seed, **run.network), run.stream
    normed = norm(weights, x.double(), weights.norm)
    matrix = weights.unembedding.double()
    size = normed.norm(dim=-1) * matrix.norm() / x.shape[1] ** 0.5  # of a result without cancellation
    for native in natives(weights, native_library, run.threads):
        dense = TWO_BFLOAT16 if "bf16" in native.engine.level else FLOAT32
        before = x.clone()
        logits = torch.cat([native.unembed(part) for part in cut(x, run.cuts)])
        assert torch.equal(x, before)
        assert_near(native, logits, normed @ matrix.T, bound(native, run.cuts, dense) * size)


@pytest.mark.parametrize("tokens", [2, 9])
def test_equal_scores_go_to_the_lowest_experts(
    tokens: int, random_network: Any, native_library: ctypes.CDLL
) -> None:
    weights = random_network(experts=9, experts_per_token=4)
    (layer,) = weights.layers
    layer.router.weight.zero_()
    layer.router.bias.copy_(torch.tensor([0.0, 1, 0, 1, 2, 1, 1, 2, 0]))
    for native in natives(weights, native_library):
        fired = torch.empty(tokens, 4, dtype=torch.int64)
        native.mix(0, torch.randn(tokens, 64), fired)
        assert fired.tolist() == [[4, 7, 1, 3]] * tokens


@pytest.mark.parametrize("tokens", [1, 3, 8, 20])
@pytest.mark.parametrize("powers", [(0,), (0, 1, 2), (0, 127, 200), (30, 60), (216, 217)], ids=str)
def test_scales_at_the_ends_of_their_range(
    tokens: int, powers: tuple[int, ...], random_network: Any, native_library: ctypes.CDLL
) -> None:
    """Bytes of E8M0, from 2^-127 to 2^90: beyond, float32 may overflow where the result would not.

    With bfloat16 products (many tokens) the processor takes what is below 2^-126 for zero.
    """
    weights = random_network(inner=544)
    (layer,) = weights.layers
    layer.experts.down_bias.zero_()
    scales = layer.experts.down_scales
    scales.copy_(torch.tensor(powers)[torch.arange(scales.numel()) % len(powers)].view_as(scales))
    x, chosen = torch.zeros(tokens, 64), torch.empty(tokens, 2, dtype=torch.int64)
    for native in natives(weights, native_library):
        found = native.mix(0, x.clone(), chosen)
        expected = mixture(weights, layer, x.double(), chosen)
        allowed = bound(native, [tokens], SIXTEEN_BITS) * expected.norm(dim=-1)
        if "bf16" in native.engine.level and tokens >= MANY:
            allowed = allowed + 2.0**-126 * 544
        assert_near(native, found, expected, allowed)


@pytest.mark.parametrize("tokens", [1, 9])
def test_blocks_of_zeros_are_zero_whatever_their_scale(
    tokens: int, random_network: Any, native_library: ctypes.CDLL
) -> None:
    weights = random_network()
    (layer,) = weights.layers
    layer.experts.down_bias.zero_()
    layer.experts.down_blocks.copy_(torch.randint(4, layer.experts.down_blocks.shape) * 0x78 & 0x88)
    layer.experts.down_scales.copy_(torch.randint(255, layer.experts.down_scales.shape))
    x = torch.randn(tokens, 64)
    for native in natives(weights, native_library):
        assert torch.equal(native.mix(0, x.clone()), x)


def first_layer(
    change: Callable[[LayerWeights[Tensor]], Tensor],
) -> Callable[[NetworkWeights[Tensor]], Tensor]:
    return lambda weights: change(next(iter(weights.layers)))


FAULTS: dict[str, tuple[Callable[[NetworkWeights[Tensor]], Tensor], tuple[float, ...]]] = {
    "norm before attention": (first_layer(lambda layer: layer.attention_norm[5:6]), (math.nan, math.inf)),
    "query": (first_layer(lambda layer: layer.q.weight[3, 5:6]), (math.nan,)),
    "key": (first_layer(lambda layer: layer.k.bias[3:4]), (math.nan,)),
    "value": (first_layer(lambda layer: layer.v.bias[3:4]), (math.nan, math.inf)),
    "output": (first_layer(lambda layer: layer.o.weight[3, 5:6]), (math.nan, math.inf)),
    "sink": (first_layer(lambda layer: layer.sinks[1:2]), (math.nan, math.inf)),
    "norm before experts": (first_layer(lambda layer: layer.experts_norm[5:6]), (math.nan, math.inf)),
    "router": (first_layer(lambda layer: layer.router.weight[2, 5:6]), (math.nan,)),
    "router's bias": (first_layer(lambda layer: layer.router.bias[3:4]), (math.nan, math.inf)),
    "gate": (first_layer(lambda layer: layer.experts.gate_up_bias[:, 6]), (math.nan, -math.inf)),
    "up": (first_layer(lambda layer: layer.experts.gate_up_bias[:, 7]), (math.nan,)),
    "down": (first_layer(lambda layer: layer.experts.down_bias[:, 7]), (math.nan, math.inf)),
    "last norm": (lambda weights: weights.norm[5:6], (math.nan, math.inf)),
    "unembedding": (lambda weights: weights.unembedding[3, 5:6], (math.nan, math.inf)),
    "embedding": (lambda weights: weights.embedding[0, 5:6], (math.nan, math.inf, -math.inf, 1e20)),
}
"""Where a network may hold a number that is none, and which ones no definition turns into a number again."""


@pytest.mark.parametrize("place", FAULTS)
def test_no_fault_is_hidden(place: str, random_network: Any, native_library: ctypes.CDLL) -> None:
    where, values = FAULTS[place]
    for value in values:
        weights = random_network(3)
        where(weights).fill_(value)
        for native in natives(weights, native_library):
            for tokens in (1, 2, 9):
                cache, ids = native.new_cache(), torch.arange(tokens)
                for _ in range(2):  # the second time what is kept of the first shows too
                    x = native.attend(0, native.embed(ids), cache)
                    logits = native.unembed(native.mix(0, x))
                    cache.advance(tokens)
                    assert not logits.isfinite().all(dim=-1).any(), (native.engine.level, value, tokens)
                    ids = ids + (0 if place == "embedding" and tokens > 1 else 1)


def test_activations_next_to_nothing(random_network: Any, native_library: ctypes.CDLL) -> None:
    """Too small for the inverse of a 16-bit unit, they count as zeros."""
    weights = random_network()
    (layer,) = weights.layers
    for native in natives(weights, native_library):
        x, chosen = torch.full((1, 64), 1e-44), torch.empty(1, 2, dtype=torch.int64)
        found = native.mix(0, x.clone(), chosen)
        expected = mixture(weights, layer, x.double(), chosen)
        assert_near(native, found, expected, SIXTEEN_BITS * expected.norm(dim=-1))


def test_keys_are_turned_anew_after_activations_have_moved(
    random_network: Any, native_library: ctypes.CDLL
) -> None:
    weights = random_network()
    for native in natives(weights, native_library):
        x = torch.randn(3, 64)
        first = native.attend(0, x.clone(), native.new_cache())
        native.mix(0, torch.randn(300, 64))
        assert torch.equal(native.attend(0, x.clone(), native.new_cache()), first)


def test_the_state_of_a_cache_goes_on_in_another(random_network: Any, native_library: ctypes.CDLL) -> None:
    weights = random_network(windows=[20, None])
    native = TensorNative(weights, native_library, 2)

    def read(cache: Any, x: Tensor) -> Tensor:
        for layer in range(2):
            x = native.attend(layer, x, cache)
        cache.advance(len(x))
        return x

    cache, other = native.new_cache(), native.new_cache(capacity=100)
    read(cache, torch.randn(48, 64))
    place, later = cache.snapshot(), torch.randn(5, 64)
    expected = read(cache, later.clone())
    other.take_over(48, cache.state(place))
    assert torch.equal(read(other, later.clone()), expected)


@pytest.mark.parametrize("threads", [3, 16])
def test_the_number_of_threads_changes_nothing(
    threads: int, random_network: Any, native_library: ctypes.CDLL
) -> None:
    weights = random_network(heads=6, kv_heads=3, experts=8, windows=[8])

    def results(threads: int) -> list[Tensor]:
        native, cache, out = TensorNative(weights, native_library, threads), None, []
        for tokens in (40, 1, 6):
            cache = cache or native.new_cache()
            x = native.mix(0, native.attend(0, native.embed(torch.arange(tokens)), cache))
            cache.advance(tokens)
            out += [x, native.unembed(x)]
        return out

    for found, expected in zip(results(threads), results(1), strict=True):
        assert torch.equal(found, expected)


def test_the_stream_may_have_any_dtype_and_order(random_network: Any, native_library: ctypes.CDLL) -> None:
    native = TensorNative(random_network(windows=[8]), native_library, 2)
    x = torch.randn(64, 5).T
    for given_ in (x.double(), x, x.contiguous()):
        cache, fired = native.new_cache(), torch.empty(2, 5, dtype=torch.int32).T
        y = native.mix(-1, native.attend(-1, given_, cache), fired)
        if given_.is_contiguous():
            assert y.data_ptr() == given_.data_ptr()
    assert y.dtype == torch.float32


def test_nothing_to_read_is_nothing_read(random_network: Any, native_library: ctypes.CDLL) -> None:
    native = TensorNative(random_network(), native_library, 2)
    x, cache = torch.empty(0, 64), native.new_cache()
    assert native.attend(0, x, cache).shape == native.mix(0, x).shape == (0, 64)
    assert native.unembed(x).shape == (0, 80)


def test_what_does_not_fit_is_refused(random_network: Any, native_library: ctypes.CDLL) -> None:
    weights = random_network(windows=[20])
    native = TensorNative(weights, native_library, 1)
    x, cache = torch.randn(2, 64), native.new_cache()
    for wrong in (torch.randn(2, 32), torch.randn(64), torch.randn(1, 2, 64)):
        for step in (lambda x: native.attend(0, x, cache), lambda x: native.mix(0, x), native.unembed):
            with pytest.raises(ValueError, match=r"the stream is of shape \[.*\], not \[tokens, 64\]"):
                step(wrong)
    for layer in (1, -2):
        with pytest.raises(IndexError):
            native.mix(layer, x)
        with pytest.raises(IndexError):
            native.attend(layer, x, cache)
    for other in ({"windows": [8]}, {"kv_heads": 1}, {"head_dim": 64}):
        with pytest.raises(ValueError, match="the cache is of another network"):
            native.attend(0, x, TensorNative(random_network(**other), native_library, 1).new_cache())
    with pytest.raises(ValueError, match="the cache is of another network"):
        native.attend(0, x, TensorNative(weights, native_library, 1, dtype="float32").new_cache())
    for ids in ([80], [-1]):
        with pytest.raises(IndexError):
            native.embed(torch.tensor(ids))


def test_what_the_library_cannot_read_is_refused(random_network: Any, native_library: ctypes.CDLL) -> None:
    weights = random_network()
    (layer,) = weights.layers
    with pytest.raises(ValueError, match="the level is 'avx1024', and can be base"):
        TensorNative(weights, native_library, 1, level="avx1024")
    with pytest.raises(ValueError, match="can be bfloat16 or float32, not float16"):
        TensorNative(weights, native_library, 1, dtype="float16")
    for head_dim in (16, 288):
        with pytest.raises(ValueError, match=f"its heads have {head_dim} values"):
            TensorNative(random_network(head_dim=head_dim), native_library, 1)
    for wrong in (
        replace(weights, unembedding=weights.unembedding.float()),
        replace(weights, norm=weights.norm.bfloat16()),
        replace(weights, frequencies=weights.frequencies.double()),
        replace(weights, layers=[replace(layer, sinks=layer.sinks.bfloat16())]),
        replace(
            weights, layers=[replace(layer, router=Linear(layer.router.weight, layer.router.bias.float()))]
        ),
    ):
        with pytest.raises(ValueError, match=r"^a weight is \w+, not \w+$"):
            TensorNative(wrong, native_library, 1)


@given(seed=st.integers(0, 2**32), columns=st.sampled_from([64, 128, 576]), rows=st.integers(1, 40))
@settings(max_examples=20)
def test_weights_in_12_bits_are_the_same_weights(
    seed: int, columns: int, rows: int, random_network: Any, native_library: ctypes.CDLL
) -> None:
    """Streams of one number pick single weights: of any size, zeros, and some far below their row."""
    random = torch.Generator().manual_seed(seed)
    weights = random_network(hidden=columns, vocab=rows)
    exponents = torch.randint(-60, 60, (rows, 1), generator=random)
    values = torch.ldexp(torch.randn(rows, columns, generator=random), exponents)
    for place, value in enumerate((0.0, -0.0, 1e-39, -1e-40)):
        if columns * rows > 256 * (place + 1):
            values.view(-1)[torch.randint(values.numel(), (1,), generator=random)] = value
    weights.unembedding.copy_(values)
    weights.norm.fill_(1)
    x = torch.eye(columns)[torch.randperm(columns, generator=random)[:16]]
    expected = norm(weights, x.double(), weights.norm) @ weights.unembedding.double().T
    widest = weights.unembedding.double().abs().amax(1)
    for level in Target.here().levels:
        native = TensorNative(weights, native_library, 2, level=level, packed=True)
        for part in (x[:1], x):
            error = (native.unembed(part).double() - expected[: len(part)]).abs()
            allowed = TWO_BFLOAT16 * expected[: len(part)].abs() + 1e-9 * widest + 2.0**-120
            assert (error <= allowed).all(), native.engine.level
