"""The network against transformers' GptOssForCausalLM, both in float32, on random checkpoints."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import GptOssConfig, GptOssForCausalLM

from gptoss_tui.model import load_model
from gptoss_tui.model.config import ModelConfig

SHAPES: dict[str, dict[str, Any]] = {
    "default": {},
    "wide heads, one kv head, all experts": {
        "num_attention_heads": 6,
        "num_key_value_heads": 1,
        "num_experts_per_tok": 4,
        "sliding_window": 5,
    },
    "as many kv heads, one expert, odd layers slide": {
        "num_attention_heads": 2,
        "head_dim": 16,
        "num_local_experts": 3,
        "num_experts_per_tok": 1,
        "layer_types": ["full_attention", "sliding_attention"] * 2,
    },
    "tall experts, no original context to speak of": {
        "hidden_size": 96,
        "intermediate_size": 32,
        "num_hidden_layers": 3,
        "num_local_experts": 8,
        "num_experts_per_tok": 4,
        "sliding_window": 16,
        "swiglu_limit": 2.0,
        "rope_theta": 10_000,
        "rope_scaling": {
            "rope_type": "yarn",
            "factor": 32.0,
            "beta_fast": 16.0,
            "beta_slow": 2.0,
            "truncate": True,
            "original_max_position_embeddings": 16,
        },
    },
}
TOKENS = 77  # beyond every window and every original context above


def dequantised(blocks: Tensor, scales: Tensor) -> Tensor:
    """MXFP4 by its definition, in float64: an implementation independent of ours."""
    magnitudes = [0, 0.5, 1, 1.5, 2, 3, 4, 6]
    values = np.empty((*blocks.shape[:-1], 32))
    for part, nibble in enumerate((blocks.numpy() & 15, blocks.numpy() >> 4)):
        values[..., part::2] = np.where(nibble >= 8, -1.0, 1.0) * np.array(magnitudes)[nibble & 7]
    values *= np.exp2(scales.numpy().astype(np.float64) - 127)[..., None]
    return torch.from_numpy(values.reshape(*scales.shape[:-1], -1))


def reference_model(folder: Path) -> GptOssForCausalLM:
    """transformers' network with the weights of the checkpoint, experts dequantised and transposed."""
    settings = json.loads((folder / "config.json").read_text())
    settings.pop("quantization_config")
    model = GptOssForCausalLM(GptOssConfig(**settings, attn_implementation="eager")).float().eval()
    weights = load_file(folder / "model.safetensors")
    for name in [name for name in weights if name.endswith("_blocks")]:
        plain = name.removesuffix("_blocks")
        weights[plain] = dequantised(weights.pop(name), weights.pop(f"{plain}_scales")).mT
    model.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    return model


@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES.keys())
def test_a_configuration_that_transformers_saved_is_read_alike(
    tmp_path: Path, tiny_checkpoint: Callable[..., Path], config: dict[str, Any]
) -> None:
    file = tiny_checkpoint(tmp_path, **config) / "config.json"
    ours = ModelConfig.from_file(file)
    settings = json.loads(file.read_text())
    GptOssConfig(**settings).save_pretrained(tmp_path)
    assert "rope_parameters" in json.loads(file.read_text())
    assert ModelConfig.from_file(file) == ours


@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES.keys())
def test_logits_agree_in_prefill_and_step_by_step(
    tmp_path: Path, tiny_checkpoint: Callable[..., Path], config: dict[str, Any]
) -> None:
    folder = tiny_checkpoint(tmp_path, seed=len(config), **config)
    ids = torch.randint(320, (TOKENS,), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = reference_model(folder)(ids[None]).logits[0]
    model = load_model(folder, dtype=torch.float32)
    prefill = model(ids)
    cache = model.new_cache(capacity=4)
    steps = torch.cat([model(ids[i : i + 1], cache) for i in range(TOKENS)])
    assert expected.std() > 0.5  # the comparison below is absolute
    torch.testing.assert_close(prefill, expected, rtol=0, atol=2e-5)
    torch.testing.assert_close(steps, expected, rtol=0, atol=2e-5)
