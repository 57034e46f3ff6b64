"""Compressed bodies, decompressed piece by piece and never beyond a limit, so that a bomb stays small."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterable

ACCEPTED = "gzip, deflate"

_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
_WINDOWS = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": _ZLIB}


class EncodingError(Exception):
    """A body cannot be decompressed; the message is one sentence."""


async def read(body: AsyncIterable[bytes], encoding: str, most: int) -> tuple[bytes, bool]:
    """At most `most` bytes of the decompressed body, and whether there is more of it.

    Reading stops at the limit. Raises EncodingError.
    """
    named = [name.strip().lower() for name in encoding.split(",") if name.strip()]
    codings = [name for name in named if name != "identity"]
    if len(codings) > 1:
        raise EncodingError("It is compressed more than once.")
    if codings and codings[0] not in _WINDOWS:
        raise EncodingError(f"It is compressed as {codings[0][:20]!a}, which was not asked for.")
    undo = _Inflate(_WINDOWS[codings[0]]) if codings else None
    read = bytearray()
    async for piece in body:
        room = most + 1 - len(read)
        read += undo.feed(piece, room) if undo else piece[:room]
        if len(read) > most:
            return bytes(read[:most]), True
    return bytes(read), undo is not None and undo.is_open


class _Inflate:
    """gzip with any number of members, zlib, or deflate without a header, which some servers send as zlib."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._stream = zlib.decompressobj(window)
        self._began = False

    @property
    def is_open(self) -> bool:
        """Whether the end of the data has not been read yet."""
        return self._began and not self._stream.eof

    def feed(self, piece: bytes, room: int) -> bytes:
        out = bytearray()
        while piece and len(out) < room:
            if self._stream.eof:
                if self._window != _GZIP or not piece.startswith(b"\x1f"):
                    break  # padding
                self._stream = zlib.decompressobj(_GZIP)
            out += self._undone(piece, room - len(out))
            piece = self._stream.unused_data or self._stream.unconsumed_tail
        return bytes(out)

    def _undone(self, piece: bytes, room: int) -> bytes:
        try:
            return self._stream.decompress(piece, room)
        except zlib.error as error:
            if self._window != _ZLIB or self._began:
                raise EncodingError("Its compressed data is damaged.") from error
            self._window, self._stream = _RAW, zlib.decompressobj(_RAW)
            try:
                return self._stream.decompress(piece, room)
            except zlib.error:
                raise EncodingError("Its compressed data is damaged.") from error
        finally:
            self._began = True
