"""The gpt-oss network, readable beside its model card (arXiv 2508.10925, section 2).

Modules carry the names of the Hub checkpoint, without its leading "model.".
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gptoss_tui.kernels import mxfp4, reference
from gptoss_tui.model.config import ModelConfig
from gptoss_tui.model.kv_cache import FullLayer, KVCache, SlidingLayer
from gptoss_tui.model.rope import inverse_frequencies, rotate, rotation

Rotation = tuple[Tensor, Tensor]


class Transformer(nn.Module):
    """Token ids in, logits out. Weights float32 or bfloat16, experts MXFP4 as stored.

    Not float16: the residual stream of the 120b passes 65,504, the largest float16.
    """

    def __init__(self, config: ModelConfig) -> None:
        """Lay out the network without values; build it under `torch.device("meta")` to allocate nothing."""
        super().__init__()
        self.config = config
        # nn.Embedding() would draw random values: on the meta device that imports the compiler, 1.4 s of CPU.
        table = torch.empty(config.vocab_size, config.hidden_size)
        self.embed_tokens = nn.Embedding.from_pretrained(table)  # type: ignore[no-untyped-call]
        self.layers = nn.ModuleList(Block(config, index) for index in range(config.num_hidden_layers))
        self.norm = RMSNorm(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self._frequencies: Tensor | None = None

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.lm_head.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Of activations, cache and dense weights."""
        return self.lm_head.weight.dtype

    def new_cache(self, capacity: int | None = None) -> KVCache:
        """An empty memory, with room for `capacity` tokens before it has to grow."""
        return KVCache(self.config, self.device, self.dtype, capacity)

    @torch.no_grad()
    def forward(self, ids: Tensor, cache: KVCache | None = None, last_only: bool = False) -> Tensor:
        """Read ids int64 [tokens], at least one; logits float32 [tokens, vocab], or [1, vocab] of the last.

        With a cache, `ids` follow what it holds and are added to it.
        """
        if ids.dim() != 1 or not len(ids):
            raise ValueError(f"ids must be one row of at least one token, not of shape {list(ids.shape)}")
        cache = self.new_cache(len(ids)) if cache is None else cache
        turn = self._rotation(cache.length, len(ids))
        x = self.embed_tokens(ids)
        for block, layer in zip(self.layers, cache.layers, strict=True):
            x = block(x, turn, layer, cache.length)
        cache.length += len(ids)
        logits: Tensor = self.lm_head(self.norm(x[-1:] if last_only else x))
        return logits.float()

    def _rotation(self, start: int, tokens: int) -> Rotation:
        rope = self.config.rope
        if self._frequencies is None or self._frequencies.device != self.device:
            self._frequencies = inverse_frequencies(rope, self.config.head_dim).to(self.device)
        cos, sin = rotation(self._frequencies, start, tokens, rope.concentration)
        return cos.to(self.dtype), sin.to(self.dtype)


class Block(nn.Module):
    """One layer: attention, then experts, each on the normed stream and added to it."""

    def __init__(self, config: ModelConfig, index: int) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config)
        self.self_attn = Attention(config, index)
        self.post_attention_layernorm = RMSNorm(config)
        self.mlp = MixtureOfExperts(config)

    def forward(self, x: Tensor, turn: Rotation, memory: FullLayer | SlidingLayer, length: int) -> Tensor:
        """Stream [tokens, hidden] -> [tokens, hidden]."""
        x = x + self.self_attn(self.input_layernorm(x), turn, memory, length)
        mixed: Tensor = self.mlp(self.post_attention_layernorm(x))
        return x + mixed


class Attention(nn.Module):
    """Grouped-query attention with sinks; heads * head_dim need not be the hidden size."""

    def __init__(self, config: ModelConfig, index: int) -> None:
        super().__init__()
        sliding = config.layer_types[index] == "sliding_attention"
        self.window = config.sliding_window if sliding else None
        self.heads, self.kv_heads, self.head_dim = (
            config.num_attention_heads,
            config.num_key_value_heads,
            config.head_dim,
        )
        self.q_proj = nn.Linear(config.hidden_size, self.heads * self.head_dim)
        self.k_proj = nn.Linear(config.hidden_size, self.kv_heads * self.head_dim)
        self.v_proj = nn.Linear(config.hidden_size, self.kv_heads * self.head_dim)
        self.o_proj = nn.Linear(self.heads * self.head_dim, config.hidden_size)
        self.sinks = nn.Parameter(torch.empty(self.heads))

    def forward(self, x: Tensor, turn: Rotation, memory: FullLayer | SlidingLayer, length: int) -> Tensor:
        """Normed stream [tokens, hidden] after `length` remembered tokens -> [tokens, hidden]."""
        q = rotate(self._heads(self.q_proj(x)), *turn)
        k = rotate(self._heads(self.k_proj(x)), *turn)
        keys, values = memory.extend(torch.stack([k, self._heads(self.v_proj(x))]), length)
        mixed = reference.attention(q, keys, values, self.sinks, self.window)
        out: Tensor = self.o_proj(mixed.transpose(0, 1).flatten(1))
        return out

    def _heads(self, x: Tensor) -> Tensor:
        """[tokens, heads * head_dim] -> [heads, tokens, head_dim]."""
        return x.view(len(x), -1, self.head_dim).transpose(0, 1)


class MixtureOfExperts(nn.Module):
    """A router and its experts."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.router = nn.Linear(config.hidden_size, config.num_local_experts)
        self.experts = Experts(config)

    def forward(self, x: Tensor) -> Tensor:
        """Normed stream [tokens, hidden] -> [tokens, hidden]."""
        chosen, weights = reference.route(self.router(x), self.config.num_experts_per_tok)
        alpha, limit = self.config.swiglu_alpha, self.config.swiglu_limit
        return reference.experts(x, chosen, weights, self.experts.weights(), alpha=alpha, limit=limit)


class Experts(nn.Module):
    """The experts' weights; MXFP4 blocks and scales stay as they are on disk."""

    gate_up_proj_blocks: Tensor
    gate_up_proj_scales: Tensor
    down_proj_blocks: Tensor
    down_proj_scales: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        experts, hidden, inner = config.num_local_experts, config.hidden_size, config.intermediate_size
        for name, rows, columns in (("gate_up_proj", 2 * inner, hidden), ("down_proj", hidden, inner)):
            scales = (experts, rows, columns // mxfp4.BLOCK)
            blocks = (*scales, mxfp4.BLOCK // 2)
            self.register_buffer(f"{name}_blocks", torch.empty(blocks, dtype=torch.uint8))
            self.register_buffer(f"{name}_scales", torch.empty(scales, dtype=torch.uint8))
        self.gate_up_proj_bias = nn.Parameter(torch.empty(experts, 2 * inner))
        self.down_proj_bias = nn.Parameter(torch.empty(experts, hidden))

    def weights(self) -> reference.ExpertWeights:
        """As the kernels take them."""
        return reference.ExpertWeights(
            self.gate_up_proj_blocks,
            self.gate_up_proj_scales,
            self.gate_up_proj_bias,
            self.down_proj_blocks,
            self.down_proj_scales,
            self.down_proj_bias,
        )


class RMSNorm(nn.Module):
    """Root-mean-square norm, weight included in float32; the result takes the dtype of the stream last."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.eps = config.rms_norm_eps
        self.weight = nn.Parameter(torch.empty(config.hidden_size, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        """[tokens, hidden] -> the same."""
        return F.rms_norm(x.float(), self.weight.shape, self.weight, self.eps).to(x.dtype)
