"""The network in the Hub layout, experts in MXFP4 and the rest in bfloat16: writing, and reading back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from gptoss_tui.kernels.mxfp4 import decode, encode
from gptoss_tui.model.checkpoint.hub import CONFIG, GENERATION_CONFIG, TOKENIZER, TOKENIZER_CONFIG, WEIGHTS

from .network import Attention, DemoNetwork, Experts, NetworkShape
from .vocabulary import control_id

SHARPNESS = 1.5
"""Factor on the logits, folded into the final norm: at temperature 1 a tiny model goes astray too easily."""

LONGEST_ANSWER = 320
"""Tokens, twice the longest trained answer: a longer answer of so small a model is useless."""


def write_checkpoint(folder: Path, network: DemoNetwork, tokenizer: Path) -> None:
    """Write the whole checkpoint; `tokenizer` is the folder of the tokenizer's files."""
    write_config(folder, network.shape)
    write_weights(folder, network)
    copy_tokenizer(tokenizer, folder)


def copy_tokenizer(source: Path, target: Path) -> None:
    """Copy the tokenizer's files from one folder to another."""
    for name in (TOKENIZER, TOKENIZER_CONFIG):
        (target / name).write_bytes((source / name).read_bytes())


def write_config(folder: Path, shape: NetworkShape) -> None:
    """Write the two configurations, of network and generation, with the keys of the released checkpoints."""
    pad, end = control_id("endoftext"), control_id("return")
    config: dict[str, Any] = {
        "architectures": ["GptOssForCausalLM"],
        "attention_bias": True,
        "attention_dropout": 0.0,
        "eos_token_id": end,
        "experts_per_token": shape.active_experts,
        "head_dim": shape.head_dim,
        "hidden_act": "silu",
        "hidden_size": shape.hidden,
        "initial_context_length": shape.rope_original_context,
        "initializer_range": 0.02,
        "intermediate_size": shape.intermediate,
        "layer_types": [f"{('sliding', 'full')[i % 2]}_attention" for i in range(shape.layers)],
        "max_position_embeddings": int(shape.rope_original_context * shape.rope_factor),
        "model_type": "gpt_oss",
        "num_attention_heads": shape.heads,
        "num_experts_per_tok": shape.active_experts,
        "num_hidden_layers": shape.layers,
        "num_key_value_heads": shape.kv_heads,
        "num_local_experts": shape.experts,
        "output_router_logits": False,
        "pad_token_id": pad,
        "quantization_config": {
            "modules_to_not_convert": [
                "model.layers.*.self_attn",
                "model.layers.*.mlp.router",
                "model.embed_tokens",
                "lm_head",
            ],
            "quant_method": "mxfp4",
        },
        "rms_norm_eps": shape.norm_eps,
        "rope_scaling": {
            "beta_fast": shape.rope_beta_fast,
            "beta_slow": shape.rope_beta_slow,
            "factor": shape.rope_factor,
            "original_max_position_embeddings": shape.rope_original_context,
            "rope_type": "yarn",
            "truncate": False,
        },
        "rope_theta": shape.rope_theta,
        "router_aux_loss_coef": 0.9,
        "sliding_window": shape.window,
        "swiglu_limit": shape.swiglu_limit,
        "tie_word_embeddings": False,
        "use_cache": True,
        "vocab_size": shape.vocabulary,
    }
    generation = {
        "bos_token_id": control_id("startoftext"),
        "do_sample": True,
        "eos_token_id": [end, pad, control_id("call")],
        "max_new_tokens": LONGEST_ANSWER,
        "pad_token_id": pad,
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in ((CONFIG, config), (GENERATION_CONFIG, generation)):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n")


def write_weights(folder: Path, network: DemoNetwork) -> None:
    """Write the weights to one file, with the Hub's names, shapes and types."""
    tensors = {
        "model.embed_tokens.weight": network.embedding,
        "model.norm.weight": network.norm.weight * SHARPNESS,
        "lm_head.weight": network.unembedding,
    }
    for i, (attention, experts) in enumerate(network.layers):
        for name, tensor in (_attention_tensors(attention) | _expert_tensors(experts)).items():
            tensors[f"model.layers.{i}.{name}"] = tensor
    stored = {
        name: (tensor if tensor.dtype == torch.uint8 else tensor.detach().bfloat16()).contiguous()
        for name, tensor in tensors.items()
    }
    file = folder / WEIGHTS
    save_file(stored, file, metadata={"format": "pt"})
    file.chmod(0o644)  # safetensors makes it readable by its owner only


def _attention_tensors(attention: Attention) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {
        "input_layernorm.weight": attention.norm.weight,
        "self_attn.sinks": attention.sinks,
    }
    for name in "qkvo":
        linear = getattr(attention, name)
        tensors[f"self_attn.{name}_proj.weight"] = linear.weight
        tensors[f"self_attn.{name}_proj.bias"] = linear.bias
    return tensors


def _expert_tensors(experts: Experts) -> dict[str, Tensor]:
    gate_up_blocks, gate_up_scales = encode(interleave(experts.gate, experts.up).detach())
    down_blocks, down_scales = encode(experts.down.detach())
    return {
        "post_attention_layernorm.weight": experts.norm.weight,
        "mlp.router.weight": experts.router.weight,
        "mlp.router.bias": experts.router.bias,
        "mlp.experts.gate_up_proj_blocks": gate_up_blocks,
        "mlp.experts.gate_up_proj_scales": gate_up_scales,
        "mlp.experts.gate_up_proj_bias": interleave(experts.gate_bias, experts.up_bias),
        "mlp.experts.down_proj_blocks": down_blocks,
        "mlp.experts.down_proj_scales": down_scales,
        "mlp.experts.down_proj_bias": experts.down_bias,
    }


@torch.no_grad()
def read_weights(folder: Path, network: DemoNetwork) -> None:
    """Set the network to the weights of an exported checkpoint of its shape, to continue training."""
    stored = load_file(folder / WEIGHTS)
    network.embedding.copy_(stored["model.embed_tokens.weight"])
    network.norm.weight.copy_(stored["model.norm.weight"] / SHARPNESS)
    network.unembedding.copy_(stored["lm_head.weight"])
    for i, (attention, experts) in enumerate(network.layers):
        for name, tensor in _attention_tensors(attention).items():
            tensor.copy_(stored[f"model.layers.{i}.{name}"])
        _read_experts(experts, stored, f"model.layers.{i}.")


def _read_experts(experts: Experts, stored: dict[str, Tensor], layer: str) -> None:
    experts.norm.weight.copy_(stored[f"{layer}post_attention_layernorm.weight"])
    experts.router.weight.copy_(stored[f"{layer}mlp.router.weight"])
    experts.router.bias.copy_(stored[f"{layer}mlp.router.bias"])
    mlp = f"{layer}mlp.experts."
    gate_up, down = (
        decode(stored[f"{mlp}{name}_proj_blocks"], stored[f"{mlp}{name}_proj_scales"])
        for name in ("gate_up", "down")
    )
    experts.gate.copy_(gate_up[:, 0::2])
    experts.up.copy_(gate_up[:, 1::2])
    experts.down.copy_(down)
    gate_up_bias = stored[f"{mlp}gate_up_proj_bias"]
    experts.gate_bias.copy_(gate_up_bias[:, 0::2])
    experts.up_bias.copy_(gate_up_bias[:, 1::2])
    experts.down_bias.copy_(stored[f"{mlp}down_proj_bias"])


def interleave(gate: Tensor, up: Tensor) -> Tensor:
    """Two tensors [E, I, ...] -> [E, 2 I, ...]: gate in the even rows, up in the odd ones."""
    return torch.stack([gate, up], 2).flatten(1, 2)
