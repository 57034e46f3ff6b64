"""The checkpoint: its place, its contents, and whether it fits. Importing this package costs nothing."""

from __future__ import annotations

from .checkpoint import Checkpoint, StoredTensor
from .find import checkpoint_at, open_checkpoint

__all__ = ["Checkpoint", "StoredTensor", "checkpoint_at", "open_checkpoint"]
