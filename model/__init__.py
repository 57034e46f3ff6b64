"""The runtime: token ids in, token ids out. Knows no roles and no screen.

Importing this package costs nothing: torch is only imported with `load_model`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .checkpoint.load import load_model
    from .tokenizer import load_tokenizer

__all__ = ["load_model", "load_tokenizer"]


def __getattr__(name: str) -> Any:
    if name == "load_model":
        from .checkpoint.load import load_model

        return load_model
    if name == "load_tokenizer":
        from .tokenizer import load_tokenizer

        return load_tokenizer
    raise AttributeError(name)
