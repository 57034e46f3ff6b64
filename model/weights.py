"""The weights of a network: their names and shapes in a checkpoint, and their layout for the kernels.

Names are those of the Hub checkpoint, without its leading "model.".
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from gptoss_tui.kernels import mxfp4
from gptoss_tui.kernels.kernels import ExpertWeights, LayerWeights, Linear, NetworkWeights
from gptoss_tui.model.config import ModelConfig
from gptoss_tui.model.rope import inverse_frequencies


def layout(config: ModelConfig) -> dict[str, Tensor]:
    """Every weight by name, as a tensor on the meta device: uint8, or a dtype that stands for any other."""
    hidden, vocab = config.hidden_size, config.vocab_size
    shapes = {
        "embed_tokens.weight": (vocab, hidden),
        "norm.weight": (hidden,),
        "lm_head.weight": (vocab, hidden),
    }
    layer = _layer_shapes(config)
    for index in range(config.num_hidden_layers):
        shapes |= {f"layers.{index}.{name}": shape for name, shape in layer.items()}
    return {
        name: torch.empty(
            shape, dtype=torch.uint8 if name.endswith(("_blocks", "_scales")) else None, device="meta"
        )
        for name, shape in shapes.items()
    }


def _layer_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    hidden, inner, experts = config.hidden_size, config.intermediate_size, config.num_local_experts
    heads, head_dim = config.num_attention_heads, config.head_dim
    kv = config.num_key_value_heads * head_dim
    shapes: dict[str, tuple[int, ...]] = {
        "input_layernorm.weight": (hidden,),
        "self_attn.sinks": (heads,),
        "post_attention_layernorm.weight": (hidden,),
    }
    for name, rows, columns in (
        ("self_attn.q_proj", heads * head_dim, hidden),
        ("self_attn.k_proj", kv, hidden),
        ("self_attn.v_proj", kv, hidden),
        ("self_attn.o_proj", hidden, heads * head_dim),
        ("mlp.router", experts, hidden),
    ):
        shapes |= {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}
    for name, rows, columns in (("gate_up_proj", 2 * inner, hidden), ("down_proj", hidden, inner)):
        scales = (experts, rows, columns // mxfp4.BLOCK)
        shapes |= {
            f"mlp.experts.{name}_blocks": (*scales, mxfp4.BLOCK // 2),
            f"mlp.experts.{name}_scales": scales,
            f"mlp.experts.{name}_bias": (experts, rows),
        }
    return shapes


def for_kernels(config: ModelConfig, weights: dict[str, Tensor]) -> NetworkWeights:
    """Convert `weights`, all that `layout` names; each is removed from the dict as it is used."""
    unembedding = weights.pop("lm_head.weight")
    return NetworkWeights(
        embedding=weights.pop("embed_tokens.weight"),
        layers=_layers(config, weights),
        norm=weights.pop("norm.weight"),
        unembedding=unembedding,
        head_dim=config.head_dim,
        frequencies=inverse_frequencies(config.rope, config.head_dim).to(unembedding.device),
        concentration=config.rope.concentration,
        experts_per_token=config.num_experts_per_tok,
        swiglu_alpha=config.swiglu_alpha,
        swiglu_limit=config.swiglu_limit,
        norm_eps=config.rms_norm_eps,
    )


def _layers(config: ModelConfig, weights: dict[str, Tensor]) -> Iterator[LayerWeights]:
    for index, kind in enumerate(config.layer_types):

        def take(name: str, at: str = f"layers.{index}.") -> Tensor:
            return weights.pop(at + name)

        def linear(name: str) -> Linear:
            return Linear(take(f"{name}.weight"), take(f"{name}.bias"))

        yield LayerWeights(
            window=config.sliding_window if kind == "sliding_attention" else None,
            attention_norm=take("input_layernorm.weight"),
            q=linear("self_attn.q_proj"),
            k=linear("self_attn.k_proj"),
            v=linear("self_attn.v_proj"),
            o=linear("self_attn.o_proj"),
            sinks=take("self_attn.sinks"),
            experts_norm=take("post_attention_layernorm.weight"),
            router=linear("mlp.router"),
            experts=ExpertWeights(
                gate_up_blocks=take("mlp.experts.gate_up_proj_blocks"),
                gate_up_scales=take("mlp.experts.gate_up_proj_scales"),
                gate_up_bias=take("mlp.experts.gate_up_proj_bias"),
                down_blocks=take("mlp.experts.down_proj_blocks"),
                down_scales=take("mlp.experts.down_proj_scales"),
                down_bias=take("mlp.experts.down_proj_bias"),
            ),
        )
