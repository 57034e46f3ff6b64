"""Openings on disk: what the network remembers after the tokens with which many prompts begin.

One file holds the state of a cache (`KVCache.state`) after one opening. Its name is a digest of all that the
state depends on, and the bytes inside carry a digest over that and themselves. Nothing in a file says how it
is to be read, so a file that is damaged, cut, or in another's place can only be refused.

The format: a line with the version, 32 bytes of SHA-256, then the bytes of each buffer in turn.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from time import time
from typing import Any

from gptoss_tui import __version__
from gptoss_tui.kernels.cache import KVCache, Snapshot

SHORTEST = 64
"""Tokens from which an opening is worth a file."""

_VERSION = b"gptoss-chat snapshot 1\n"
_HEAD = len(_VERSION) + hashlib.sha256().digest_size
_PIECE = 4 << 20  # bytes written before it is looked whether somebody waits
_ABANDONED_S = 3600.0
_LOG = logging.getLogger(__name__)


class SnapshotFolder:
    """The files in one folder, of all networks, together at most `most` bytes.

    `network` is the identity of the checkpoint. The folder may be shared by several programs at once.
    """

    def __init__(self, folder: Path, most: int, network: str) -> None:
        self._folder = folder
        self._most = most
        self._network = network
        self._is_writable = True

    def load(self, ids: Sequence[int], cache: KVCache[Any]) -> bool:
        """Have the empty `cache`, which has room for them, continue after `ids`; returns whether it does.

        False if there is no file, or none that can be used, which the log tells; what is of no use to anybody
        is removed. The cache is then as it was.
        """
        if len(ids) < SHORTEST:
            return False
        views = cache.used(len(ids))
        key = self._key(ids, cache, views)
        file = self._file(key)
        try:
            state = _read(file, key, cache, views)
        except FileNotFoundError:
            return False
        except OSError as error:
            _LOG.warning("%s: not read (%s)", file, error.strerror)
            return False
        except ValueError as error:
            _LOG.warning("%s: %s; removed, and its tokens are read again", file, error)
            with suppress(OSError):
                file.unlink()
            return False
        cache.take_over(len(ids), state)
        with suppress(OSError):
            os.utime(file)
        return True

    def save(
        self,
        ids: Sequence[int],
        cache: KVCache[Any],
        snapshot: Snapshot[Any],
        is_interrupted: Callable[[], bool],
    ) -> None:
        """Write the state of `cache` at `snapshot`, which was taken after `ids`, unless it is there already.

        Leaves nothing behind once `is_interrupted()`. Where the folder cannot be written, the log tells it
        once, and no more is tried.
        """
        if len(ids) < SHORTEST or not self._is_writable:
            return
        state = cache.state(snapshot)
        key = self._key(ids, cache, state)
        file = self._file(key)
        size = _HEAD + sum(part.nbytes for part in state)
        if size > self._most or file.exists():
            return
        draft = file.with_suffix(f".{os.getpid()}.part")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._make_room(size)
            if _write(draft, key, map(cache.to_bytes, state), is_interrupted):
                draft.replace(file)
        except OSError as error:
            self._is_writable = False
            _LOG.warning("%s: no snapshots are written (%s)", self._folder, error.strerror)
        finally:
            with suppress(OSError):
                draft.unlink(missing_ok=True)

    def _key(self, ids: Sequence[int], cache: KVCache[Any], state: Sequence[Any]) -> bytes:
        """A digest of all that a state of these shapes depends on."""
        network = [__version__, self._network, cache.kind, sys.byteorder]
        shapes = [(str(part.dtype), part.shape) for part in state]
        return hashlib.sha256(json.dumps([network, shapes]).encode() + array("q", ids).tobytes()).digest()

    def _file(self, key: bytes) -> Path:
        return self._folder / f"{key.hex()}.snapshot"

    def _make_room(self, size: int) -> None:
        """Remove what was used longest ago, until there is room for `size` bytes; and abandoned drafts."""
        files = []
        for path in self._folder.iterdir():
            with suppress(FileNotFoundError):  # another program removed it
                status = path.lstat()
                if path.suffix == ".snapshot":
                    files.append((status.st_mtime, status.st_size, path))
                elif path.suffix == ".part" and status.st_mtime < time() - _ABANDONED_S:
                    path.unlink()
        total = size + sum(file[1] for file in files)
        for _, freed, path in sorted(files):
            if total <= self._most:
                break
            path.unlink(missing_ok=True)
            total -= freed


def _read(file: Path, key: bytes, cache: KVCache[Any], views: Sequence[Any]) -> list[Any]:
    """The state in `file`, in the shapes of `views`; raises OSError, ValueError for an unusable file."""
    status = file.stat()
    if not stat.S_ISREG(status.st_mode):  # to open a pipe of that name would never end
        raise ValueError("not a file")
    if status.st_size != _HEAD + sum(view.nbytes for view in views):
        raise ValueError(f"{status.st_size:,} bytes, cut or not a snapshot")
    contents = [memoryview(bytearray(view.nbytes)) for view in views]
    digest = hashlib.sha256(key)
    with file.open("rb") as source:
        if source.read(len(_VERSION)) != _VERSION:
            raise ValueError("not a snapshot of this version")
        expected = source.read(digest.digest_size)
        for content in contents:
            if source.readinto(content) != len(content):
                raise ValueError("cut")
            digest.update(content)
    if digest.digest() != expected:
        raise ValueError("damaged")
    return [cache.from_bytes(content, view) for content, view in zip(contents, views, strict=True)]


def _write(file: Path, key: bytes, state: Iterable[memoryview], is_interrupted: Callable[[], bool]) -> bool:
    """Write `file`, readable by its user only; false if that was interrupted. Raises OSError."""
    digest = hashlib.sha256(key)
    with open(file, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as draft:
        draft.write(bytes(_HEAD))
        for piece in _pieces(state):
            if is_interrupted():
                return False
            draft.write(piece)
            digest.update(piece)
        draft.seek(0)
        draft.write(_VERSION + digest.digest())
    return True


def _pieces(state: Iterable[memoryview]) -> Iterator[memoryview]:
    for content in state:
        for start in range(0, len(content), _PIECE):
            yield content[start : start + _PIECE]
