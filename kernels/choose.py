"""The choice of a backend: the one place that knows them all."""

from __future__ import annotations

from gptoss_tui.kernels.kernels import Kernels, NetworkWeights


def choose(weights: NetworkWeights) -> Kernels:
    """The kernels for a network on the device of its weights. A backend is imported only if it is chosen."""
    from gptoss_tui.kernels.reference import Reference

    return Reference(weights)
