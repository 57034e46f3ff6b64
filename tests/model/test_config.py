"""ModelConfig: the released sizes, config.json in its forms, and what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from gptoss_tui.model.checkpoint.config_json import read_config
from gptoss_tui.model.config import GPT_OSS_20B, GPT_OSS_120B, ModelConfig
from gptoss_tui.model.errors import CheckpointError
from gptoss_tui.model.weights import layout

RELEASED_20B: dict[str, Any] = {
    "architectures": ["GptOssForCausalLM"],
    "attention_bias": True,
    "experts_per_token": 4,
    "head_dim": 64,
    "hidden_act": "silu",
    "hidden_size": 2880,
    "initial_context_length": 4096,
    "intermediate_size": 2880,
    "layer_types": ["sliding_attention", "full_attention"] * 12,
    "max_position_embeddings": 131072,
    "model_type": "gpt_oss",
    "num_attention_heads": 64,
    "num_experts_per_tok": 4,
    "num_hidden_layers": 24,
    "num_key_value_heads": 8,
    "num_local_experts": 32,
    "quantization_config": {"quant_method": "mxfp4"},
    "rms_norm_eps": 1e-05,
    "rope_scaling": {
        "beta_fast": 32.0,
        "beta_slow": 1.0,
        "factor": 32.0,
        "original_max_position_embeddings": 4096,
        "rope_type": "yarn",
        "truncate": False,
    },
    "rope_theta": 150000,
    "sliding_window": 128,
    "swiglu_limit": 7.0,
    "tie_word_embeddings": False,
    "vocab_size": 201088,
}
COUNTS = [
    (GPT_OSS_20B, 20_914_757_184, 3_608_307_264),
    (GPT_OSS_120B, 116_829_156_672, 5_132_849_472),
]


def without(*keys: str) -> dict[str, Any]:
    return {key: value for key, value in RELEASED_20B.items() if key not in keys}


def read(folder: Path, values: dict[str, Any]) -> ModelConfig:
    (folder / "config.json").write_text(json.dumps(values))
    return read_config(folder / "config.json")


@pytest.mark.parametrize(("config", "total", "_"), COUNTS)
def test_the_parameter_count_is_that_of_the_model_card(config: ModelConfig, total: int, _: int) -> None:
    assert config.total_parameters == total


@pytest.mark.parametrize(("config", "total", "active"), COUNTS)
def test_the_network_itself_has_as_many(config: ModelConfig, total: int, active: int) -> None:
    weights = layout(config)
    values = {
        name: math.prod(shape) * (2 if name.endswith("_blocks") else 1) for name, shape in weights.items()
    }
    values = {name: count for name, count in values.items() if not name.endswith("_scales")}
    assert sum(values.values()) == total
    experts = sum(count for name, count in values.items() if ".experts." in name)
    idle = experts - experts * config.num_experts_per_tok // config.num_local_experts
    assert total - idle - values["embed_tokens.weight"] == active


NEWER = without("rope_scaling", "rope_theta") | {
    "rope_parameters": RELEASED_20B["rope_scaling"] | {"rope_theta": 150000.0}
}


@pytest.mark.parametrize(
    "values",
    [
        RELEASED_20B,
        without("num_experts_per_tok"),
        without("experts_per_token"),
        without("layer_types"),
        without("head_dim"),
        without("num_local_experts") | {"num_experts": 32},
        without("num_experts_per_tok") | {"num_experts_per_tok": None},
        without("num_experts_per_tok", "experts_per_token") | {"num_experts_per_token": 4},
        NEWER,
        NEWER
        | {"rope_parameters": dict.fromkeys(set(RELEASED_20B["layer_types"]), NEWER["rope_parameters"])},
        RELEASED_20B
        | {"rope_scaling": RELEASED_20B["rope_scaling"] | {"mscale": 1.0, "mscale_all_dim": 0.0}},
    ],
    ids=[
        "as released",
        "experts_per_token",
        "num_experts_per_tok",
        "no layer_types",
        "no head_dim",
        "num_experts",
        "num_experts_per_tok null",
        "num_experts_per_token",
        "rope_parameters",
        "rope_parameters by kind of layer",
        "mscale_all_dim 0",
    ],
)
def test_forms_of_the_released_file(tmp_path: Path, values: dict[str, Any]) -> None:
    assert read(tmp_path, values) == GPT_OSS_20B


def test_without_a_window_all_layers_see_all_tokens(tmp_path: Path) -> None:
    config = read(tmp_path, RELEASED_20B | {"sliding_window": None})
    assert config.layer_types == ("full_attention",) * 24


UNSAID = without("rope_scaling", "rope_theta")


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"rope_scaling": None},
        {"rope_scaling": {}},
        {"rope_parameters": None},
        {"rope_scaling": None, "rope_parameters": None},
        {"rope_theta": 150_000},
    ],
)
def test_positions_of_which_nothing_is_said_are_those_of_gpt_oss(
    tmp_path: Path, said: dict[str, Any]
) -> None:
    assert read(tmp_path, UNSAID | said) == GPT_OSS_20B


@pytest.mark.parametrize(
    "said",
    [
        {"rope_scaling": {"rope_type": "default"}},
        {"rope_scaling": {"type": "default"}},
        {"rope_parameters": {"rope_theta": 150_000}},
        {"rope_parameters": {}},
    ],
)
def test_positions_are_plain_where_the_file_says_so(tmp_path: Path, said: dict[str, Any]) -> None:
    rope = read(tmp_path, UNSAID | said).rope
    assert (rope.theta, rope.factor, rope.concentration) == (150_000, 1, 1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0; allowed: a whole number from 1 to 1024"),
        ({"num_hidden_layers": 10**12}, "num_hidden_layers is 1000000000000; allowed"),
        ({"hidden_size": -2880}, "hidden_size is -2880"),
        ({"hidden_size": 2881}, "hidden_size is 2881; allowed: multiples of 32"),
        ({"hidden_size": 2880.0}, "hidden_size is 2880.0; allowed: a whole number"),
        ({"vocab_size": "201088"}, "vocab_size is '201088'"),
        ({"vocab_size": True}, "vocab_size is True"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps is nan"),
        ({"head_dim": 63}, "head_dim is 63; allowed: even numbers"),
        ({"num_experts_per_tok": 33}, "num_experts_per_tok is 33; allowed: 1 to num_local_experts, 32"),
        (
            {"num_attention_heads": 60},
            "num_attention_heads is 60; allowed: multiples of num_key_value_heads, 8",
        ),
        (
            {"layer_types": ["full_attention"]},
            "layer_types has 1 entries; allowed: as many as num_hidden_layers, 24",
        ),
        ({"layer_types": ["round_attention"] * 24}, "layer_types[0] is 'round_attention'"),
        ({"layer_types": [{}] * 24}, "layer_types[0] is {}"),
        ({"layer_types": 7}, "layer_types is 7"),
        ({"sliding_window": "none"}, "sliding_window is 'none'"),
        ({"rope_theta": 0}, "theta is 0"),
        ({"rope_scaling": {"rope_type": "llama3"}}, "rope_type is 'llama3'; allowed: yarn or default"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": "32"}}, "factor is '32'"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 32, "mscale": "0.7"}}, "mscale is '0.7'"),
        ({"rope_scaling": {"rope_type": "yarn"}}, "rope_scaling.factor is missing"),
        ({"rope_scaling": {"factor": 32.0}}, "rope_scaling.rope_type is None; allowed: yarn or default"),
        (
            {"rope_scaling": {"rope_type": "default", "partial_rotary_factor": 0.5}},
            "partial_rotary_factor is",
        ),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor is 0.5"),
        ({"rope_scaling": "yarn"}, "rope_scaling is 'yarn'"),
        ({"rope_scaling": None, "rope_parameters": [1]}, "rope_parameters is [1]; allowed: an object"),
        ({"tie_word_embeddings": True}, "tie_word_embeddings is True; allowed: false"),
        ({"attention_bias": False}, "attention_bias is False; allowed: true"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quant_method is 'gptq'; allowed: mxfp4"),
        ({"model_type": "llama"}, "this is a 'llama' checkpoint; gptoss-chat runs gpt-oss"),
        ({"model_type": None}, "no model_type"),
        ({"architectures": ["LlamaForCausalLMEagle3"], "model_type": "llama"}, "a draft model"),
        ({"model_type": "qwen3", "dflash_config": {}}, "a draft model"),
        ({"quantization": {"group_size": 32, "bits": 4, "mode": "mxfp4"}}, "an MLX model"),
        ({"model_type": None, "num_experts": 32}, "OpenAI's original layout"),
        (
            {"rope_scaling": {"sliding_attention": {"rope_type": "default"}}},
            "rope_scaling.full_attention is missing",
        ),
        (
            {
                "rope_scaling": None,
                "rope_parameters": {
                    "sliding_attention": {"rope_type": "default"},
                    "full_attention": {"rope_type": "yarn", "factor": 32},
                },
            },
            "rope_parameters.sliding_attention is unlike rope_parameters.full_attention",
        ),
    ],
)
def test_the_first_bad_field_is_named(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        read(tmp_path, RELEASED_20B | change)
    message = str(caught.value)
    assert words in message
    assert str(tmp_path / "config.json") in message and message.count("\n") < 3


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="hidden_size is missing"):
        read(tmp_path, without("hidden_size"))
    with pytest.raises(CheckpointError, match="num_experts_per_tok is"):
        read(tmp_path, without("num_experts_per_tok", "experts_per_token"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not valid JSON (line 1, column 1)"),
        (b'{"model_type": "gpt_oss",\n "vocab_size": }', "not valid JSON (line 2, column 16)"),
        (b"\xff\xfe\x00", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"[1, 2]", "not a JSON object"),
        (b" " * (1 << 20) + b"{}", "larger than 1 MB"),
    ],
    ids=["empty", "half", "no text", "deep", "a list", "huge"],
)
def test_a_file_that_is_no_configuration(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        read_config(tmp_path / "config.json")
    assert words in str(caught.value)


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(RELEASED_20B).encode())
    assert read_config(tmp_path / "config.json") == GPT_OSS_20B


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        read_config(tmp_path / "config.json")


@pytest.mark.parametrize("config", [GPT_OSS_20B, GPT_OSS_120B])
def test_a_token_reads_every_weight_but_the_experts_that_it_does_not_choose(config: ModelConfig) -> None:
    share = config.num_experts_per_tok / config.num_local_experts
    read = 0.0
    for name, shape in layout(config).items():
        size = math.prod(shape) * (1 if name.endswith(("_blocks", "_scales")) else 2)
        read += 0 if name.startswith("embed_tokens") else size * share if ".experts." in name else size
    assert config.read_for_token(2, 2) == read
    assert config.read_for_token(1, 1) < read / 1.4
    assert config.read_for_token(2, 1) == read - config.vocab_size * config.hidden_size


def test_sliding_layers_keep_their_window() -> None:
    one = GPT_OSS_20B.cached_values(1)
    assert one == 24 * 2 * 8 * 64
    assert GPT_OSS_20B.cached_values(128) == 128 * one
    assert GPT_OSS_20B.cached_values(1000) - GPT_OSS_20B.cached_values(999) == one // 2
