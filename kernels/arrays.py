"""AnyArray: what arrays of numpy and tensors of torch have in common."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar


class AnyArray(Protocol):
    """What arrays of numpy and tensors of torch have in common, as far as all backends rely on it."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def nbytes(self) -> int: ...

    @property
    def dtype(self) -> Any: ...

    def __getitem__(self, key: Any, /) -> Any: ...

    def __setitem__(self, key: Any, value: Any, /) -> None: ...


A = TypeVar("A", bound=AnyArray)
"""The arrays of a backend."""
