"""The initial weights of training: a circuit for copying is set by hand, all other weights are random.

Layer 0: heads whose query and key biases make them look 1, 2, 3 or 4 tokens back. Layer 1: a head for each
key-value group whose keys are the tokens before and whose queries are the current token; it writes the
next token into the residual stream (an induction head: Olsson et al. 2022, arXiv 2209.11895). The
unembedding starts as a scaled copy of the embedding. Training changes all of it freely.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .network import Attention, DemoNetwork, rope_tables

LOOK_BACK_GAIN = 5.0
MATCH_GAIN = 3.0
WRITE_GAIN = 2.0
UNEMBEDDING_GAIN = 0.12


@torch.no_grad()
def initialise(network: DemoNetwork, seed: int) -> None:
    """Set every weight, from the seed alone."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        if parameter.ndim < 2 or name.endswith("_bias"):
            continue
        width = parameter.shape[-1]
        scale = 0.5 if name == "embedding" else width**-0.5
        if ".o." in name or name.endswith("down"):
            scale *= 0.2
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
    for attention, experts in network.layers:
        for linear in (attention.q, attention.k, attention.v, attention.o, experts.router):
            linear.bias.zero_()
    network.unembedding.copy_(network.embedding * UNEMBEDDING_GAIN)
    bases = _look_back(network, network.layers[0][0])
    _induction(network.layers[1][0], *bases)


def _look_back(network: DemoNetwork, layer: Attention) -> tuple[Tensor, Tensor]:
    """Set heads that look a fixed distance back; returns head 0's reading and writing bases."""
    shape = network.shape
    half = shape.head_dim // 2
    cos, sin = rope_tables(shape, 8)
    strength = torch.zeros(half)
    strength[:6] = LOOK_BACK_GAIN
    layer.k.weight.mul_(0.1)
    layer.q.weight.mul_(0.1)
    layer.k.bias.view(shape.kv_heads, 2, half)[:, 0] = strength
    bias = layer.q.bias.view(shape.heads, 2, half)
    for head in range(4):
        back = 1 + head % 4
        # The query's phase lags by the distance, so that the rotations cancel at that distance alone.
        bias[head, 0], bias[head, 1] = strength * cos[back] / cos[0], -strength * sin[back] / cos[0]
    reading = _basis(layer.v.weight[: shape.head_dim])
    layer.v.weight[: shape.head_dim] = reading
    outputs = layer.o.weight.view(shape.hidden, shape.heads, shape.head_dim)
    writing = _basis(outputs[:, 0].T)
    outputs[:, 0] = writing.T
    return reading, writing


def _induction(layer: Attention, reading: Tensor, writing: Tensor) -> None:
    """Set the first head of each group to attend to the token after an earlier copy of the current one."""
    shape = layer.shape
    half = shape.head_dim // 2
    slow = torch.zeros(half)
    slow[half // 2 :] = 1  # the pairs that positions hardly rotate
    keep = torch.cat([slow, slow])[:, None] * MATCH_GAIN
    keys = layer.k.weight.view(shape.kv_heads, shape.head_dim, shape.hidden)
    queries = layer.q.weight.view(shape.heads, shape.head_dim, shape.hidden)
    values = layer.v.weight.view(shape.kv_heads, shape.head_dim, shape.hidden)
    outputs = layer.o.weight.view(shape.hidden, shape.heads, shape.head_dim)
    subspaces = _basis(values.flatten(0, 1)).view_as(values)
    group = shape.heads // shape.kv_heads
    for kv in range(shape.kv_heads):
        keys[kv] = keep * writing
        queries[kv * group] = keep * reading
        values[kv] = subspaces[kv]
        outputs[:, kv * group] = subspaces[kv].T * WRITE_GAIN


def _basis(rows: Tensor) -> Tensor:
    """Orthonormal rows that span the given ones."""
    basis: Tensor = torch.linalg.qr(rows.T.contiguous())[0]
    return basis.T
