"""Checkpoint: a trained network as it lies on disk, whatever the layout of its files. Free of torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import tiktoken
    from torch import Tensor

    from gptoss_tui.model.config import ModelConfig


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor as its file describes it: `name` there, `dtype` in the words of safetensors, bytes of data."""

    file: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int


class Checkpoint(Protocol):
    """Nothing is read before it is asked for, and nothing small is read twice.

    Everything raises CheckpointError when the files are missing, damaged, or of another network.
    """

    @property
    def path(self) -> Path:
        """Where it lies: what another process needs to open it as well, and what messages name."""

    @property
    def config(self) -> ModelConfig:
        """The shape of the network."""

    @property
    def longest_answer(self) -> int | None:
        """Tokens after which an answer of this model has gone astray; None if it states no such bound."""

    @property
    def identity(self) -> str:
        """What tells this network from every other: 64 hexadecimal digits, the same in every process.

        It changes whenever configuration or weights do, and reads next to nothing of them. Name and place
        are no part of it, nor is the tokenizer: the numbers do not depend on them.
        """

    def tokenizer(self) -> tiktoken.Encoding:
        """Its tokenizer, with as many ids as the network has rows; others become `<|reserved_ID|>`."""

    def tensors(self, network: Mapping[str, Tensor]) -> dict[str, StoredTensor]:
        """Where the weights of `network` are stored, by its own names. Reads what describes them only.

        `network` is what they are checked against: the state of a Transformer, on any device.
        """

    def read(self, tensors: Mapping[str, StoredTensor]) -> Iterator[tuple[str, Tensor]]:
        """What `tensors` found, one after the other, mapped to their files, which must not change."""
