"""The network against transformers' GptOssForCausalLM, both in float32, on random checkpoints."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor
from transformers import GptOssConfig, GptOssForCausalLM
from transformers.models.gpt_oss.modeling_gpt_oss import GptOssRotaryEmbedding

from gptoss_tui.kernels.choose import Backend
from gptoss_tui.kernels.cpu.native import misfit
from gptoss_tui.model import load_model
from gptoss_tui.model.checkpoint import checkpoint_at
from gptoss_tui.model.checkpoint.config_json import read_config
from gptoss_tui.model.errors import CheckpointError
from gptoss_tui.model.rope import inverse_frequencies

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


@pytest.fixture(scope="module")
def unsaid(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Callable[..., Path]) -> dict[str, Any]:
    """A configuration that says nothing of positions."""
    file = tiny_checkpoint(tmp_path_factory.mktemp("unsaid")) / "config.json"
    return {key: value for key, value in json.loads(file.read_text()).items() if not key.startswith("rope_")}


def reference_model(folder: Path) -> GptOssForCausalLM:
    """transformers' network with the weights of the checkpoint, experts dequantised and transposed."""
    values = json.loads((folder / "config.json").read_text())
    values.pop("quantization_config")
    model = GptOssForCausalLM(GptOssConfig(**values, attn_implementation="eager")).float().eval()
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
    ours = read_config(file)
    GptOssConfig(**json.loads(file.read_text())).save_pretrained(tmp_path)
    assert "rope_parameters" in json.loads(file.read_text())
    assert read_config(file) == ours


YARN = {"rope_type": "yarn", "factor": 32.0, "original_max_position_embeddings": 4096, "truncate": False}
ROPE_OF: dict[str, list[Any]] = {
    "rope_type": ["yarn", "default", "linear"],
    "type": ["yarn", "default"],
    "rope_theta": [10_000, 150_000.0],
    "factor": [1.0, 8, 32.0],
    "original_max_position_embeddings": [16, 4096],
    "beta_fast": [0, 16.0, None],
    "beta_slow": [2.0, 40.0, None],
    "truncate": [True, False, None],
    "attention_factor": [1.0, 1.5, None],
    "mscale": [0.0, 0.7, 1],
    "mscale_all_dim": [0.0, 1, 1.3],
}
ROPE_KEYS = st.fixed_dictionaries({}, optional={key: st.sampled_from(ROPE_OF[key]) for key in ROPE_OF})
ROPES: st.SearchStrategy[dict[str, Any] | None] = (
    st.none() | st.just({}) | st.just(YARN) | ROPE_KEYS | ROPE_KEYS.map(lambda keys: YARN | keys)
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "rope_scaling": ROPES,
            "rope_parameters": ROPES,
            "rope_theta": st.sampled_from(ROPE_OF["rope_theta"]),
            "original_max_position_embeddings": st.just(64),
            "initial_context_length": st.just(128),
            "max_position_embeddings": st.just(1024),
        },
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_positions_are_read_as_transformers_does_or_refused(
    tmp_path: Path, unsaid: dict[str, Any], said: dict[str, Any]
) -> None:
    values = unsaid | said
    (tmp_path / "config.json").write_text(json.dumps(values))
    try:
        ours = read_config(tmp_path / "config.json")
    except CheckpointError as error:
        assert "factor" in str(error) or "rope_type" in str(error)
        return
    theirs = GptOssRotaryEmbedding(GptOssConfig(**json.loads(json.dumps(values))))
    frequencies = inverse_frequencies(ours.rope, ours.head_dim)
    torch.testing.assert_close(torch.from_numpy(frequencies), theirs.inv_freq, rtol=1e-6, atol=0)
    assert ours.rope.concentration == pytest.approx(theirs.attention_scaling)


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"rope_scaling": None, "rope_parameters": None},
        {"rope_theta": 10_000},
        {"rope_parameters": {"rope_theta": 10_000}},
    ],
)
def test_logits_agree_where_the_file_says_little_of_positions(
    tmp_path: Path,
    tiny_checkpoint: Callable[..., Path],
    unsaid: dict[str, Any],
    said: dict[str, Any],
    backend: Backend,
) -> None:
    folder = tiny_checkpoint(tmp_path)
    (folder / "config.json").write_text(json.dumps(unsaid | said))
    assert_logits_agree(folder, backend)


@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES.keys())
def test_logits_agree_in_prefill_and_step_by_step(
    tmp_path: Path, tiny_checkpoint: Callable[..., Path], config: dict[str, Any], backend: Backend
) -> None:
    assert_logits_agree(tiny_checkpoint(tmp_path, seed=len(config), **config), backend)


def assert_logits_agree(folder: Path, backend: Backend) -> None:
    """The native kernels round activations to 16 bits, which may decide a router's near tie the other way."""
    bound, ties = (2e-5, 0) if backend == "plain" else (5e-3, TOKENS // 10)
    ids = torch.randint(320, (TOKENS,), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = reference_model(folder)(ids[None]).logits[0]
    config = checkpoint_at(folder).config
    if backend == "native" and (why := misfit(config.head_dim)):
        pytest.skip(why)
    model = load_model(folder, dtype="float32", backend=backend)
    told = ids.tolist()
    prefill = model(told)
    cache = model.new_cache(capacity=4)
    steps = np.concatenate([model(told[i : i + 1], cache) for i in range(TOKENS)])
    assert expected.std() > 0.5  # the comparison below is absolute
    for found in (prefill, steps):
        assert int(((torch.from_numpy(found) - expected).abs().amax(dim=-1) > bound).sum()) <= ties
