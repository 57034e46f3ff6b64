"""The embedded demo model: its weights, their card, and their place. `training/` makes them."""

from __future__ import annotations

from pathlib import Path

__all__ = ["checkpoint_path"]


def checkpoint_path() -> Path:
    """The folder of the embedded checkpoint, in the layout of a Hub download."""
    return Path(__file__).parent / "weights"
