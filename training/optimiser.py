"""Muon for the matrices inside the network, AdamW for the rest."""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import Tensor, nn


class Muon(torch.optim.Optimizer):
    """Momentum whose update is made orthogonal: https://kellerjordan.github.io/posts/muon/."""

    def __init__(self, parameters: list[nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient, those of the same shape together."""
        for group in self.param_groups:
            alike: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike[parameter.shape].append(parameter)
            for shape, parameters in alike.items():
                for parameter in parameters:
                    state = self.state[parameter]
                    if not state:
                        state["momentum"] = torch.zeros_like(parameter)
                    state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
                momenta = [self.state[parameter]["momentum"] for parameter in parameters]
                gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
                updates = orthogonal(torch.stack(gradients).lerp(torch.stack(momenta), group["momentum"]))
                rate = -group["lr"] * max(1, shape[-2] / shape[-1]) ** 0.5
                for parameter, update in zip(parameters, updates, strict=True):
                    parameter.add_(update, alpha=rate)


def orthogonal(matrix: Tensor) -> Tensor:
    """The orthogonal matrix nearest to [..., m, n], roughly: five quintic Newton-Schulz steps in bfloat16."""
    x = matrix.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    square: Tensor = (x.mT if tall else x).to(matrix.dtype)
    return square


def optimisers(network: nn.Module) -> list[torch.optim.Optimizer]:
    """Muon for attention and expert matrices, AdamW for embeddings, router, norms, biases and sinks."""
    inner: list[nn.Parameter] = []
    outer: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        is_matrix = parameter.ndim >= 2 and not name.endswith("_bias")
        is_inner = is_matrix and "embedding" not in name and "router" not in name
        (inner if is_inner else outer).append(parameter)
    return [Muon(inner, lr=0.02), torch.optim.AdamW(outer, lr=3e-3, betas=(0.9, 0.98), weight_decay=0.0)]
