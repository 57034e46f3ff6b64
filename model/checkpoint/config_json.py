"""config.json, as transformers writes it for gpt-oss: the shape of the network."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args

from gptoss_tui.model.checkpoint.files import read_file
from gptoss_tui.model.checkpoint.foreign import foreign_config
from gptoss_tui.model.config import (
    GPT_OSS_20B,
    RANGES,
    LayerType,
    ModelConfig,
    Rope,
    alternating,
    brief,
    check_number,
    yarn_concentration,
)
from gptoss_tui.model.errors import CheckpointError

_LARGEST = 1 << 20
_REQUIRED = frozenset(field.name for field in fields(ModelConfig)[:11])


def read_config(path: Path) -> ModelConfig:
    """The shape of the network from the file `path`. Raises CheckpointError."""
    values = _read_object(path)
    if other := foreign_config(values):
        raise CheckpointError(f"{path}: this is {other}")
    try:
        return _config(values)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}.\nFetch the file again, or correct that field.") from None


def _read_object(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(read_file(path, _LARGEST, "configuration"))
    except json.JSONDecodeError as error:
        raise CheckpointError(
            f"{path}: not valid JSON (line {error.lineno}, column {error.colno}). Fetch it again."
        ) from None
    except (ValueError, RecursionError):  # not UTF-8; a number of thousands of digits
        raise CheckpointError(f"{path}: not valid JSON. Fetch it again.") from None
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: not a JSON object. Fetch it again.")
    return values


def _config(values: Mapping[str, Any]) -> ModelConfig:
    for key, supported in (("attention_bias", True), ("tie_word_embeddings", False)):
        if values.get(key, supported) is not supported:
            raise ValueError(f"{key} is {values[key]!r}; allowed: {str(supported).lower()}")
    quantisation = values.get("quantization_config") or {"quant_method": "mxfp4"}
    method = quantisation.get("quant_method") if isinstance(quantisation, dict) else quantisation
    if method != "mxfp4":
        raise ValueError(f"quantization_config.quant_method is {method!r}; allowed: mxfp4")
    given = {field.name: values[field.name] for field in fields(ModelConfig) if field.name in values}
    given.pop("rope", None)
    for name, others in _OTHER_NAMES.items():
        said = next((other for other in others if values.get(other) is not None), None)
        if given.get(name) is None and said is not None:
            given[name] = values[said]
    given.setdefault("head_dim", GPT_OSS_20B.head_dim)
    kinds: tuple[LayerType, ...] = _layer_types(given.get("layer_types"), given.get("num_hidden_layers"))
    if "sliding_window" in given and given["sliding_window"] is None:
        kinds = tuple("full_attention" for _ in kinds)
        given["sliding_window"] = GPT_OSS_20B.sliding_window  # which no layer has
    given["layer_types"] = kinds
    for field in fields(ModelConfig):
        if field.name not in given and field.name in _REQUIRED:
            raise ValueError(f"{field.name} is missing")
    return ModelConfig(**given, rope=_rope(values, kinds))


_OTHER_NAMES: Mapping[str, tuple[str, ...]] = {
    "num_experts_per_tok": ("experts_per_token", "num_experts_per_token"),
    "num_local_experts": ("num_experts",),
}
"""What other programs, and other versions of transformers, call a field."""


def _layer_types(given: object, layers: object) -> tuple[LayerType, ...]:
    """The list in config.json, or gpt-oss's alternation where the file has none."""
    if isinstance(given, list):
        return tuple(given)
    if given is not None:
        raise ValueError(f"layer_types is {brief(given)}; allowed: a list of strings")
    count = layers if isinstance(layers, int) and 0 < layers <= RANGES["num_hidden_layers"][1] else 0
    return alternating(count)


_OWN_ROPE: Mapping[str, Any] = {
    "rope_type": "yarn",
    "factor": 32.0,
    "original_max_position_embeddings": 4096,
    "truncate": False,
}
"""The positions that gpt-oss was trained with: the default of a file without any."""


def _rope(values: Mapping[str, Any], kinds: Iterable[LayerType]) -> Rope:
    """The positions, as transformers' GptOssConfig reads them: `rope_scaling` before `rope_parameters`.

    Every kind but YaRN is refused, and so are parameters without a kind, which would silently be ignored.
    `kinds` are those of the layers, for each of which the file may have positions of its own.
    """
    key = "rope_scaling" if values.get("rope_scaling") else "rope_parameters"
    given = values.get(key)
    given = _OWN_ROPE if given is None else given
    if isinstance(given, Mapping) and given and given.keys() <= set(get_args(LayerType)):
        key, given = _shared(key, given, sorted(set(kinds)))
    if not isinstance(given, Mapping):
        raise ValueError(f"{key} is {brief(given)}; allowed: an object")
    part = given.get("partial_rotary_factor", values.get("partial_rotary_factor"))
    if part not in (None, 1):
        raise ValueError(f"partial_rotary_factor is {brief(part)}; allowed: absent")
    theta = given.get("rope_theta", values.get("rope_theta", Rope.__dataclass_fields__["theta"].default))
    unsaid = None if given.keys() - {"rope_theta", "partial_rotary_factor"} else "default"
    match given.get("rope_type", given.get("type", unsaid)):
        case "default":
            return Rope(theta=theta, factor=1.0)
        case "yarn":
            return _yarn(key, theta, given, values)
        case other:
            raise ValueError(f"{key}.rope_type is {brief(other)}; allowed: yarn or default")


def _shared(key: str, by_kind: Mapping[str, Any], kinds: Sequence[str]) -> tuple[str, Any]:
    """The positions that all `kinds` of layers have in common, and where they stand."""
    for kind in kinds:
        if kind not in by_kind:
            raise ValueError(f"{key}.{kind} is missing")
        if by_kind[kind] != by_kind[kinds[0]]:
            raise ValueError(f"{key}.{kind} is unlike {key}.{kinds[0]}; allowed: the same for all layers")
    return (f"{key}.{kinds[0]}", by_kind[kinds[0]]) if kinds else (key, _OWN_ROPE)


def _yarn(key: str, theta: Any, given: Mapping[str, Any], values: Mapping[str, Any]) -> Rope:
    if "factor" not in given:
        raise ValueError(f"{key}.factor is missing")
    above, below = given.get("mscale") or 0, given.get("mscale_all_dim") or 0
    check_number("mscale", above)
    check_number("mscale_all_dim", below)
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
    ratio = yarn_concentration(rope.factor, above) / yarn_concentration(rope.factor, below)
    return replace(rope, attention_factor=ratio)
