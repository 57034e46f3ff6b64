"""The rows of a SQLite file, page by page and without SQLite, which gives up at the first damaged page.

Every page that still is one of a table is read, whether or not a tree leads to it, in the file and in its log
of commits. Formats: https://www.sqlite.org/fileformat2.html, sections 1.5, 1.6, 2.1 and 4.
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

Value = int | float | str | bytes | None

_PAGE: Final = 4096  # what a file has that we made; only a readable header says otherwise
_LEAF_OF_TABLE, _LEAF_OF_INDEX, _INSIDE_INDEX = 13, 10, 2
_HEAD: Final = struct.Struct(">II8s2I")  # of a frame in the log: page, pages after a commit, salts, sums
_FRAME: Final = _HEAD.size
_WIDTHS: Final = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)  # of the serial types 0 to 9, in bytes


class _Damaged(Exception):
    """What stands here is no row."""


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row: its number, None in a table without them, and the values of its columns."""

    number: int | None
    values: tuple[Value, ...]


@dataclass(slots=True)
class Pages:
    """The pages of an open file in one state: those of the file itself, but for `newer` ones of its log."""

    file: int
    size: int
    usable: int
    newer: dict[int, bytes]

    def __len__(self) -> int:
        return max(-(-os.fstat(self.file).st_size // self.size), max(self.newer, default=0))

    def page(self, number: int) -> bytes:
        """The page of that number, counted from 1; cut short or empty where the file ends."""
        newer = self.newer.get(number)
        return os.pread(self.file, self.size, (number - 1) * self.size) if newer is None else newer

    def rows(self, is_wanted: Callable[[int], bool]) -> Iterator[RawRow]:
        """The rows of all pages, those of as many columns as are wanted."""
        for number in range(1, len(self) + 1):
            yield from self.rows_on(number, is_wanted)

    def rows_on(self, number: int, is_wanted: Callable[[int], bool]) -> Iterator[RawRow]:
        """The rows on a page; none where it is no page of a table."""
        page, start = self.page(number), 100 if number == 1 else 0
        kind = page[start] if len(page) > start + 12 else 0
        if kind not in (_LEAF_OF_TABLE, _LEAF_OF_INDEX, _INSIDE_INDEX):
            return
        (count,) = struct.unpack_from(">H", page, start + 3)
        first = start + (12 if kind == _INSIDE_INDEX else 8)
        if first + 2 * count > len(page):
            return
        for place in struct.unpack_from(f">{count}H", page, first):
            try:
                if (row := self._row(page, place, kind, is_wanted)) is not None:
                    yield row
            except (_Damaged, IndexError, struct.error):
                continue

    def _row(self, page: bytes, place: int, kind: int, is_wanted: Callable[[int], bool]) -> RawRow | None:
        if kind == _INSIDE_INDEX:
            place += 4  # the number of the page below
        length, place = _varint(page, place)
        number: int | None = None
        if kind == _LEAF_OF_TABLE:
            number, place = _varint(page, place)
            most = self.usable - 35
        else:
            most = (self.usable - 12) * 64 // 255 - 23
        here = length if length <= most else self._stays(length, most)
        payload = page[place : place + here]
        types = _types(payload, length)
        if not is_wanted(len(types)):
            return None
        if here < length:
            (following,) = struct.unpack_from(">I", page, place + here)
            payload = b"".join([payload, *self._overflow(following, length - here)])
        return RawRow(number, _values(payload, types, length))

    def _stays(self, length: int, most: int) -> int:
        """The bytes of a long payload that stand on the page itself."""
        least = (self.usable - 12) * 32 // 255 - 23
        fitting = least + (length - least) % (self.usable - 4)
        return fitting if fitting <= most else least

    def _overflow(self, number: int, left: int) -> Iterator[bytes]:
        """The rest of a payload, on pages each of which names the next; the last names none."""
        while left > 0:
            page = self.page(number) if 1 < number <= len(self) else b""
            if len(page) < min(self.usable, left + 4):
                raise _Damaged
            (number,) = struct.unpack_from(">I", page)
            yield page[4 : 4 + min(left, self.usable - 4)]
            left -= self.usable - 4
        if number:
            raise _Damaged


@contextmanager
def open_pages(file: Path) -> Iterator[tuple[Pages, Pages, Log]]:
    """The file as it is, and with the log applied that stands beside it; and that log."""
    opened = os.open(file, os.O_RDONLY)
    try:
        size, reserved = _PAGE, 0
        head = os.pread(opened, 100, 0)
        if head[:16] == b"SQLite format 3\0":
            (said,) = struct.unpack_from(">H", head, 16)
            said = 65536 if said == 1 else said
            if said in (512, 1024, 2048, 4096, 8192, 16384, 32768, 65536):
                size, reserved = said, head[20]
        log = read_log(file.with_name(f"{file.name}-wal"), size)
        yield Pages(opened, size, size - reserved, {}), Pages(opened, size, size - reserved, log.pages), log
    finally:
        os.close(opened)


@dataclass(frozen=True, slots=True)
class Log:
    """A log of commits: the newest of the pages that it commits, and whole pages after a damaged place.

    `damage` says where it is damaged, "" for nowhere. What a program that was killed had not committed yet is
    no damage.
    """

    pages: dict[int, bytes]
    beyond: dict[int, bytes]
    damage: str = ""


def read_log(log: Path, size: int = _PAGE) -> Log:
    """The log for pages of that size; an empty one where there is none."""
    content = log.read_bytes() if log.exists() else b""
    if len(content) <= 32:
        return Log({}, {})
    heads = [
        (place, *_HEAD.unpack_from(content, place))
        for place in range(32, len(content) - size - _FRAME + 1, _FRAME + size)
    ]
    magic, _, said = struct.unpack_from(">III", content)
    order = ">" if magic & 1 else "<"
    sums = _sums(content[:24], order, (0, 0))
    is_begun = magic & ~1 == 0x377F0682 and said == size and struct.pack(">II", *sums) == content[24:32]
    salts = content[16:24]
    if not is_begun:
        order = "<" if sys.byteorder == "little" else ">"
        salts = max((head[3] for head in heads), key=[head[3] for head in heads].count, default=b"")
    last = max((number for number, head in enumerate(heads) if head[3] == salts), default=-1)
    pages: dict[int, bytes] = {}
    beyond: dict[int, bytes] = {}
    pending: dict[int, bytes] = {}
    before: tuple[int, int] | None = sums if is_begun else None
    is_whole, is_torn = is_begun, not is_begun
    for place, number, total, its, *told in heads[: last + 1]:
        page = content[place + _FRAME : place + _FRAME + size]
        is_sound = (
            its == salts
            and before is not None
            and _sums(page, order, _sums(content[place : place + 8], order, before)) == (*told,)
        )
        before = (told[0], told[1]) if its == salts else None
        is_torn = is_torn or its != salts
        is_whole = is_whole and is_sound
        if is_whole:
            pending[number] = page
            if total:
                pages |= pending
                pending.clear()
        elif is_sound:
            beyond[number] = page
    return Log(pages, beyond, "its log of commits is damaged" if is_torn else "")


def _sums(content: bytes, order: str, sums: tuple[int, int]) -> tuple[int, int]:
    """The running checksum of a log."""
    one, other = sums
    words = struct.unpack(f"{order}{len(content) // 4}I", content)
    for first, second in zip(words[::2], words[1::2], strict=True):
        one = (one + first + other) & 0xFFFFFFFF
        other = (other + second + one) & 0xFFFFFFFF
    return one, other


def _varint(page: bytes, place: int) -> tuple[int, int]:
    """A number of one to nine bytes, and the place after it."""
    value = page[place]
    if value < 0x80:
        return value, place + 1
    value &= 0x7F
    for _ in range(7):
        place += 1
        byte = page[place]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, place + 1
    return (value << 8 | page[place + 1]) - (1 << 64 if value >> 55 else 0), place + 2


def _types(payload: bytes, length: int) -> list[int]:
    """The serial types in the head of a record, which fit its length."""
    end, place = _varint(payload, 0)
    if not 0 < end <= min(length, len(payload)):
        raise _Damaged  # or a head of thousands of columns, which none of ours has
    types: list[int] = []
    total = end
    while place < end:
        kind, place = _varint(payload, place)
        if kind < 0 or kind in (10, 11):
            raise _Damaged
        types.append(kind)
        total += _width(kind)
    if place != end or total != length:
        raise _Damaged
    return types


def _width(kind: int) -> int:
    return (kind - 12) // 2 if kind >= 12 else _WIDTHS[kind]


def _values(payload: bytes, types: list[int], length: int) -> tuple[Value, ...]:
    if len(payload) != length:
        raise _Damaged
    place, _ = _varint(payload, 0)
    values: list[Value] = []
    for kind in types:
        raw = payload[place : place + _width(kind)]
        place += len(raw)
        match kind:
            case 0:
                values.append(None)
            case 7:
                values.append(float(struct.unpack(">d", raw)[0]))
            case 8 | 9:
                values.append(kind - 8)
            case _ if kind < 8:
                values.append(int.from_bytes(raw, "big", signed=True))
            case _ if kind % 2:
                values.append(raw.decode("utf-8", "surrogateescape"))
            case _:
                values.append(raw)
    return tuple(values)
