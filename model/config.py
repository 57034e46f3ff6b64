"""ModelConfig: the shape of a gpt-oss network, of both released sizes and of any checkpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal, cast, get_args

LayerType = Literal["sliding_attention", "full_attention"]

RANGES: Mapping[str, tuple[float, float]] = {
    "vocab_size": (1, 1 << 22),
    "hidden_size": (32, 1 << 16),
    "intermediate_size": (32, 1 << 16),
    "num_hidden_layers": (1, 1024),
    "num_attention_heads": (1, 1024),
    "num_key_value_heads": (1, 1024),
    "head_dim": (2, 1024),
    "num_local_experts": (1, 4096),
    "num_experts_per_tok": (1, 4096),
    "sliding_window": (1, 1 << 24),
    "max_position_embeddings": (1, 1 << 24),
    "rms_norm_eps": (0, 1),
    "swiglu_alpha": (0, 1e3),
    "swiglu_limit": (1e-3, 1e6),
    "theta": (1 + 1e-6, 1e12),
    "factor": (1, 1e6),
    "original_context": (1, 1 << 24),
    "beta_fast": (1e-3, 1e6),
    "beta_slow": (1e-3, 1e6),
    "attention_factor": (1e-3, 1e3),
    "mscale": (0, 1e3),
    "mscale_all_dim": (0, 1e3),
}
"""Allowed values, bounds included: wide enough for any real network, too narrow for an absurd allocation."""


def _check_numbers(config: ModelConfig | Rope) -> None:
    for field in fields(config):
        value = getattr(config, field.name)
        if field.name not in RANGES or (value is None and field.type == "float | None"):
            continue
        check_number(field.name, value, whole=field.type == "int")


def check_number(name: str, value: object, *, whole: bool = False) -> None:
    """Raise ValueError if `value` is out of the range of `name`."""
    low, high = RANGES[name]
    # A bool is an int to Python, and a NaN fails both comparisons.
    if (
        isinstance(value, bool)
        or not isinstance(value, int if whole else int | float)
        or not low <= value <= high
    ):
        kind = "a whole number" if whole else "a number"
        raise ValueError(f"{name} is {brief(value)}; allowed: {kind} from {low:g} to {high:g}")


def brief(value: object) -> str:
    """`value` for an error message, in at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


@dataclass(frozen=True, slots=True)
class Rope:
    """Rotary positions, stretched by YaRN (arXiv 2309.00071) from `original_context` by `factor`.

    `truncate` rounds the correction dims outwards; gpt-oss does not. `attention_factor` multiplies cosine
    and sine; None means the paper's 0.1 ln(factor) + 1.
    """

    theta: float = 150_000.0
    factor: float = 32.0
    original_context: int = 4096
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = False
    attention_factor: float | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for the first field out of range."""
        _check_numbers(self)

    @property
    def concentration(self) -> float:
        """The factor on cosine and sine."""
        if self.attention_factor is not None:
            return self.attention_factor
        return yarn_concentration(self.factor)


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The shape of a network, in the field names of the Hub's configuration.

    Raises ValueError for an impossible value; the message names the field, its value and the allowed values.
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    num_local_experts: int
    num_experts_per_tok: int
    sliding_window: int
    layer_types: tuple[LayerType, ...]
    max_position_embeddings: int = 131_072
    rms_norm_eps: float = 1e-5
    swiglu_alpha: float = 1.702
    swiglu_limit: float = 7.0
    rope: Rope = Rope()

    def __post_init__(self) -> None:
        """Raise ValueError for the first field out of range, before memory is allocated by it."""
        _check_numbers(self)
        for name in ("hidden_size", "intermediate_size"):
            if getattr(self, name) % 32:
                raise ValueError(
                    f"{name} is {getattr(self, name)}; allowed: multiples of 32, the MXFP4 block"
                )
        if self.head_dim % 2:
            raise ValueError(f"head_dim is {self.head_dim}; allowed: even numbers")
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(
                f"num_attention_heads is {self.num_attention_heads}; "
                f"allowed: multiples of num_key_value_heads, {self.num_key_value_heads}"
            )
        if self.num_experts_per_tok > self.num_local_experts:
            raise ValueError(
                f"num_experts_per_tok is {self.num_experts_per_tok}; "
                f"allowed: 1 to num_local_experts, {self.num_local_experts}"
            )
        if len(self.layer_types) != self.num_hidden_layers:
            raise ValueError(
                f"layer_types has {len(self.layer_types)} entries; "
                f"allowed: as many as num_hidden_layers, {self.num_hidden_layers}"
            )
        for index, kind in enumerate(self.layer_types):
            if kind not in get_args(LayerType):
                raise ValueError(
                    f"layer_types[{index}] is {kind!r}; allowed: {' or '.join(get_args(LayerType))}"
                )

    @property
    def attention_parameters(self) -> int:
        """The number in one layer: q, k, v and o projections with biases, and the sinks."""
        q = self.num_attention_heads * self.head_dim
        qkv = q + 2 * self.num_key_value_heads * self.head_dim
        return (self.hidden_size + 1) * qkv + self.num_attention_heads + (q + 1) * self.hidden_size

    @property
    def expert_matrices(self) -> int:
        """The number of weights in the gate, up and down matrices of one expert."""
        return 3 * self.hidden_size * self.intermediate_size

    @property
    def expert_parameters(self) -> int:
        """The number in one expert: gate, up and down matrices with biases."""
        return self.expert_matrices + 2 * self.intermediate_size + self.hidden_size

    @property
    def total_parameters(self) -> int:
        """The number of all weights, the embedding and the output head included."""
        experts = self.num_local_experts * (self.hidden_size + 1 + self.expert_parameters)
        layer = self.attention_parameters + experts + 2 * self.hidden_size
        return self.num_hidden_layers * layer + self.hidden_size + 2 * self.unembedding_parameters

    @property
    def dense_parameters(self) -> int:
        """The number of weights that are not in the matrices of experts."""
        return self.total_parameters - self.num_hidden_layers * self.num_local_experts * self.expert_matrices

    @property
    def unembedding_parameters(self) -> int:
        """The number in the output head; the embedding has as many."""
        return self.hidden_size * self.vocab_size

    def cached_values(self, context: int) -> int:
        """The numbers in the keys and values of `context` tokens, of which sliding layers keep the last."""
        full = self.layer_types.count("full_attention") * context
        sliding = self.layer_types.count("sliding_attention") * min(context, self.sliding_window)
        return 2 * self.num_key_value_heads * self.head_dim * (full + sliding)

    def read_for_token(self, dense: float, unembedding: float) -> int:
        """The bytes of weights that are read to compute one token.

        A dense weight takes `dense` bytes, and one of the unembedding so many. Of the experts those are read
        that a token chooses, in MXFP4; of the embedding next to nothing. Its keys and values come on top:
        `cached_values`.
        """
        chosen = self.num_experts_per_tok
        biases = chosen * (self.expert_parameters - self.expert_matrices)
        router = self.num_local_experts * (self.hidden_size + 1)
        layer = self.attention_parameters + router + biases + 2 * self.hidden_size
        experts = self.num_hidden_layers * chosen * mxfp4_bytes(self.expert_matrices)
        rest = (self.num_hidden_layers * layer + self.hidden_size) * dense
        return round(rest + self.unembedding_parameters * unembedding) + experts


MXFP4_BLOCK = 32
"""Weights that share a scale in MXFP4 (OCP MX 1.0, 5.3.1)."""


def mxfp4_bytes(weights: int) -> int:
    """The size of so many weights in MXFP4: half a byte each, and one for each block."""
    return weights // 2 + weights // MXFP4_BLOCK


def yarn_concentration(factor: float, scale: float = 1.0) -> float:
    """YaRN's factor on cosine and sine."""
    return 0.1 * scale * math.log(factor) + 1


def alternating(layers: int) -> tuple[LayerType, ...]:
    """The layers of gpt-oss: sliding and full attention in turns."""
    kinds = cast(tuple[LayerType, LayerType], get_args(LayerType))
    return tuple(kinds[index % 2] for index in range(layers))


def _released(layers: int, experts: int) -> ModelConfig:
    return ModelConfig(
        vocab_size=201_088,
        hidden_size=2880,
        intermediate_size=2880,
        num_hidden_layers=layers,
        num_attention_heads=64,
        num_key_value_heads=8,
        head_dim=64,
        num_local_experts=experts,
        num_experts_per_tok=4,
        sliding_window=128,
        layer_types=alternating(layers),
    )


GPT_OSS_20B = _released(layers=24, experts=32)
GPT_OSS_120B = _released(layers=36, experts=128)
