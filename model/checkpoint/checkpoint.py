"""Checkpoint: a trained network on disk, whatever the layout of its files. Free of torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import tiktoken
    from numpy.typing import NDArray

    from gptoss_tui.model.config import ModelConfig


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor as its file describes it: `name` and safetensors `dtype`; `start` in the file, in bytes."""

    file: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    nbytes: int


class Checkpoint(Protocol):
    """A checkpoint on disk. Each part is read when it is first needed, and no small part is read twice.

    Every member raises CheckpointError where files are missing, damaged, or of another network.
    """

    @property
    def path(self) -> Path:
        """The checkpoint's place, by which another process opens it and by which messages name it."""

    @property
    def config(self) -> ModelConfig:
        """The shape of the network."""

    @property
    def longest_answer(self) -> int | None:
        """Tokens beyond which an answer of this model is useless; None if no such bound is stated."""

    @property
    def identity(self) -> str:
        """A digest that differs between networks: 64 hexadecimal digits, the same in every process.

        It changes whenever the configuration or the weights do, though it reads next to nothing of them. The
        name, the place and the tokenizer are no part of it: the network's numbers do not depend on them.
        """

    def tokenizer(self) -> tiktoken.Encoding:
        """The tokenizer, with as many ids as the network has rows; unused ones are `<|reserved_ID|>`."""

    def tensors(self, network: Mapping[str, tuple[int, ...]]) -> dict[str, StoredTensor]:
        """The place of each weight of `network`, by the network's own names. Reads descriptions only.

        `network` has the names and shapes to check against: `weights.layout`.
        """

    def read(self, tensors: Mapping[str, StoredTensor]) -> Iterator[tuple[str, NDArray[Any]]]:
        """The values of `tensors`, one after the other, mapped to their files, which must not change.

        Those in bfloat16 come as uint16: numpy has no such type.
        """

    def release(self) -> None:
        """Unmap what was read. It stays in the system's cache, and is mapped again where it is needed."""

    def read_ahead(self, tensors: Iterable[StoredTensor]) -> None:
        """Have the system read `tensors` into its cache, one after the other, in a thread."""
