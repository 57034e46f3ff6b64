"""The weights of a network: their names and shapes in a checkpoint, and their layout for the kernels.

Names are those of the Hub checkpoint, without its leading "model.".
"""

from __future__ import annotations

from collections.abc import Iterator

from gptoss_tui.kernels.arrays import A
from gptoss_tui.kernels.kernels import ExpertWeights, Kept, LayerWeights, Linear, NetworkWeights, Precision
from gptoss_tui.model.config import MXFP4_BLOCK, ModelConfig


def layout(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """The shape of every weight by name."""
    hidden, vocab = config.hidden_size, config.vocab_size
    shapes: dict[str, tuple[int, ...]] = {
        "embed_tokens.weight": (vocab, hidden),
        "norm.weight": (hidden,),
        "lm_head.weight": (vocab, hidden),
    }
    layer = _layer_shapes(config)
    for index in range(config.num_hidden_layers):
        shapes |= {f"layers.{index}.{name}": shape for name, shape in layer.items()}
    return shapes


def kept(name: str, dtype: Precision) -> Kept:
    """The form in which the kernels want a weight: norms and sinks float32, other dense ones in `dtype`."""
    if is_mxfp4(name):
        return "mxfp4"
    return "float32" if name.endswith(("norm.weight", ".sinks")) else dtype


def is_mxfp4(name: str) -> bool:
    """Whether a weight is the blocks or scales of experts."""
    return name.endswith(("_blocks", "_scales"))


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
        scales = (experts, rows, columns // MXFP4_BLOCK)
        shapes |= {
            f"mlp.experts.{name}_blocks": (*scales, MXFP4_BLOCK // 2),
            f"mlp.experts.{name}_scales": scales,
            f"mlp.experts.{name}_bias": (experts, rows),
        }
    return shapes


def for_kernels(config: ModelConfig, weights: dict[str, A], frequencies: A) -> NetworkWeights[A]:
    """Arrange `weights`, all that `layout` names; each is removed from the dict as it is used.

    `frequencies` are those of the rotation: `inverse_frequencies`.
    """
    return NetworkWeights(
        embedding=weights.pop("embed_tokens.weight"),
        layers=_layers(config, weights),
        norm=weights.pop("norm.weight"),
        unembedding=weights.pop("lm_head.weight"),
        head_dim=config.head_dim,
        frequencies=frequencies,
        concentration=config.rope.concentration,
        experts_per_token=config.num_experts_per_tok,
        swiglu_alpha=config.swiglu_alpha,
        swiglu_limit=config.swiglu_limit,
        norm_eps=config.rms_norm_eps,
    )


def _layers(config: ModelConfig, weights: dict[str, A]) -> Iterator[LayerWeights[A]]:
    for index, kind in enumerate(config.layer_types):

        def take(name: str, at: str = f"layers.{index}.") -> A:
            return weights.pop(at + name)

        def linear(name: str) -> Linear[A]:
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
