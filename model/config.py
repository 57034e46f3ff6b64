"""ModelConfig: the shape of a gpt-oss network, for both released sizes and any checkpoint's config.json."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

from gptoss_tui.model.errors import CheckpointError

LayerType = Literal["sliding_attention", "full_attention"]

_LARGEST_FILE = 1 << 20
_RANGES: Mapping[str, tuple[float, float]] = {
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
"""Allowed values, bounds included: room for any real network, none for an absurd allocation."""


def _check_numbers(config: ModelConfig | Rope) -> None:
    for field in fields(config):
        value = getattr(config, field.name)
        if field.name not in _RANGES or (value is None and field.type == "float | None"):
            continue
        _check_number(field.name, value, whole=field.type == "int")


def _check_number(name: str, value: object, *, whole: bool = False) -> None:
    low, high = _RANGES[name]
    # A bool is an int to Python, and a NaN fails both comparisons.
    if (
        isinstance(value, bool)
        or not isinstance(value, int if whole else int | float)
        or not low <= value <= high
    ):
        kind = "a whole number" if whole else "a number"
        raise ValueError(f"{name} is {_brief(value)}; allowed: {kind} from {low:g} to {high:g}")


def _brief(value: object) -> str:
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
        return _stretch(self.factor)


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The shape of a network, in the field names of config.json.

    Raises ValueError for a value that cannot be: the text names the field, its value and what is allowed.
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
        """Raise ValueError for the first field out of range, before anybody allocates by it."""
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

    @classmethod
    def from_file(cls, path: str | Path) -> ModelConfig:
        """Read a config.json of the Hub layout. Raises CheckpointError."""
        path = Path(path)
        values = _read_json(path)
        kind = values.get("model_type")
        if kind != "gpt_oss":
            found = f"a {kind!r} checkpoint" if kind else "no Hub checkpoint (no model_type)"
            raise CheckpointError(
                f"{path}: this is {found}; gptoss-chat runs gpt-oss in the Hub layout only."
            )
        try:
            return cls._from_values(values)
        except ValueError as error:
            raise CheckpointError(f"{path}: {error}.\nFetch the file again, or correct that field.") from None

    @classmethod
    def _from_values(cls, values: Mapping[str, Any]) -> ModelConfig:
        for key, supported in (("attention_bias", True), ("tie_word_embeddings", False)):
            if values.get(key, supported) is not supported:
                raise ValueError(f"{key} is {values[key]!r}; allowed: {str(supported).lower()}")
        quantisation = values.get("quantization_config") or {"quant_method": "mxfp4"}
        method = quantisation.get("quant_method") if isinstance(quantisation, dict) else quantisation
        if method != "mxfp4":
            raise ValueError(f"quantization_config.quant_method is {method!r}; allowed: mxfp4")
        given = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        given.pop("rope", None)
        given.setdefault("num_experts_per_tok", values.get("experts_per_token"))
        given["layer_types"] = _layer_types(given.get("layer_types"), given.get("num_hidden_layers"))
        for field in fields(cls):
            if field.name not in given and field.name in _REQUIRED:
                raise ValueError(f"{field.name} is missing")
        return cls(**given, rope=_rope(values))

    @property
    def attention_parameters(self) -> int:
        """Of one layer: q, k, v and o projections with biases, and the sinks."""
        q = self.num_attention_heads * self.head_dim
        qkv = q + 2 * self.num_key_value_heads * self.head_dim
        return (self.hidden_size + 1) * qkv + self.num_attention_heads + (q + 1) * self.hidden_size

    @property
    def expert_parameters(self) -> int:
        """Of one expert: gate, up and down matrices with biases."""
        hidden, inner = self.hidden_size, self.intermediate_size
        return (hidden + 1) * 2 * inner + (inner + 1) * hidden

    @property
    def total_parameters(self) -> int:
        """Every weight, the embedding and the output head included."""
        return self._parameters(self.num_local_experts) + self.vocab_size * self.hidden_size

    @property
    def active_parameters(self) -> int:
        """Weights used for one token, counted as in the model card: the output head, not the embedding."""
        return self._parameters(self.num_experts_per_tok)

    def _parameters(self, experts: int) -> int:
        router = (self.hidden_size + 1) * self.num_local_experts
        layer = self.attention_parameters + router + experts * self.expert_parameters + 2 * self.hidden_size
        return self.num_hidden_layers * layer + self.hidden_size + self.vocab_size * self.hidden_size


_REQUIRED = frozenset(field.name for field in fields(ModelConfig)[:11])


def _layer_types(given: object, layers: object) -> tuple[LayerType, ...]:
    """The list of config.json, or gpt-oss's own alternation where the file has none."""
    if isinstance(given, list):
        return tuple(given)
    if given is not None:
        raise ValueError(f"layer_types is {_brief(given)}; allowed: a list of strings")
    count = layers if isinstance(layers, int) and 0 < layers <= _RANGES["num_hidden_layers"][1] else 0
    return _alternating(count)


def _alternating(layers: int) -> tuple[LayerType, ...]:
    kinds = cast(tuple[LayerType, LayerType], get_args(LayerType))
    return tuple(kinds[index % 2] for index in range(layers))


_OWN_ROPE: Mapping[str, Any] = {
    "rope_type": "yarn",
    "factor": 32.0,
    "original_max_position_embeddings": 4096,
    "truncate": False,
}
"""What gpt-oss was trained with, and what a file that says nothing means."""


def _rope(values: Mapping[str, Any]) -> Rope:
    """The positions, as transformers' GptOssConfig reads them: `rope_scaling` before `rope_parameters`.

    What would be read as plain positions although it says more is refused, as is every kind but YaRN.
    """
    key = "rope_scaling" if values.get("rope_scaling") else "rope_parameters"
    given = values.get(key)
    given = _OWN_ROPE if given is None else given
    if not isinstance(given, Mapping):
        raise ValueError(f"{key} is {_brief(given)}; allowed: an object")
    part = given.get("partial_rotary_factor", values.get("partial_rotary_factor"))
    if part not in (None, 1):
        raise ValueError(f"partial_rotary_factor is {_brief(part)}; allowed: absent")
    theta = given.get("rope_theta", values.get("rope_theta", Rope.__dataclass_fields__["theta"].default))
    unsaid = None if given.keys() - {"rope_theta", "partial_rotary_factor"} else "default"
    match given.get("rope_type", given.get("type", unsaid)):
        case "default":
            return Rope(theta=theta, factor=1.0)
        case "yarn":
            return _yarn(key, theta, given, values)
        case other:
            raise ValueError(f"{key}.rope_type is {_brief(other)}; allowed: yarn or default")


def _yarn(key: str, theta: Any, given: Mapping[str, Any], values: Mapping[str, Any]) -> Rope:
    if "factor" not in given:
        raise ValueError(f"{key}.factor is missing")
    above, below = given.get("mscale") or 0, given.get("mscale_all_dim") or 0
    _check_number("mscale", above)
    _check_number("mscale_all_dim", below)
    longest = values.get("max_position_embeddings", 131_072)
    original = given.get("original_max_position_embeddings", longest)
    rope = Rope(
        theta=theta,
        factor=given["factor"],
        original_context=values.get("original_max_position_embeddings", original),
        beta_fast=given.get("beta_fast") or 32.0,
        beta_slow=given.get("beta_slow") or 1.0,
        truncate=bool(given.get("truncate", True)),
        attention_factor=given.get("attention_factor"),
    )
    if rope.attention_factor is not None or not (above and below):
        return rope
    return replace(rope, attention_factor=_stretch(rope.factor, above) / _stretch(rope.factor, below))


def _stretch(factor: float, scale: float = 1.0) -> float:
    """YaRN's factor on cosine and sine."""
    return 0.1 * scale * math.log(factor) + 1


def _read_json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise CheckpointError(
                f"{path}: larger than 1 MB, which no model configuration is. Fetch it again."
            )
        values = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise CheckpointError(
            f"{path}: no such file.\nA checkpoint folder holds config.json, tokenizer.json and *.safetensors."
        ) from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}).") from None
    except json.JSONDecodeError as error:
        raise CheckpointError(
            f"{path}: not valid JSON (line {error.lineno}, column {error.colno}). Fetch it again."
        ) from None
    except (UnicodeDecodeError, RecursionError):
        raise CheckpointError(f"{path}: not valid JSON. Fetch it again.") from None
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: not a JSON object. Fetch it again.")
    return values


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
        layer_types=_alternating(layers),
    )


GPT_OSS_20B = _released(layers=24, experts=32)
GPT_OSS_120B = _released(layers=36, experts=128)
