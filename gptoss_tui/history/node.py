"""The nodes of a conversation on disk: a tree of messages, of which the path to one leaf is shown.

Texts are stored as bytes, so that whatever a model or a tool wrote comes back exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from ..harmony.message import Channel, Message, Role

T = TypeVar("T")

Columns = tuple[str, bytes, bytes | None, str | None, bytes | None, bytes | None]
Row = tuple[int, int | None, str, bytes, bytes | None, str | None, bytes | None, bytes | None]

COLUMNS = "role, text, name, channel, recipient, content_type"
"""The columns of a message."""

ODD: Final = (ValueError, KeyError, TypeError, AttributeError)
"""The errors that reading a row raises which no store wrote."""


@dataclass(frozen=True, slots=True)
class Node:
    """A message in the file. `parent` is the node it follows, None for the first of a conversation.

    A parent is older than its children and so has the lower id: the order of the ids is that of insertion.
    """

    id: int
    parent: int | None
    message: Message


def columns_of(message: Message) -> Columns:
    """The values of COLUMNS for a message."""
    return (
        message.role.value,
        pack(message.text),
        _pack_if(message.name),
        message.channel.value if message.channel else None,
        _pack_if(message.recipient),
        _pack_if(message.content_type),
    )


def node_of(row: Row) -> Node:
    """The node of a row (id, parent, COLUMNS); raises one of ODD for a row that no store wrote."""
    number, parent, role, text, name, channel, recipient, content_type = row
    message = Message(
        Role(role),
        unpack(text),
        name=_unpack_if(name),
        channel=Channel(channel) if channel else None,
        recipient=_unpack_if(recipient),
        content_type=_unpack_if(content_type),
    )
    return Node(number, parent, message)


def nodes_of(rows: Iterable[Row]) -> tuple[list[Node], list[int]]:
    """The nodes of the rows, and the numbers of those that no store wrote, which are left out."""
    nodes: list[Node] = []
    odd: list[int] = []
    for row in rows:
        try:
            nodes.append(node_of(row))
        except ODD:
            odd.append(row[0])
    return nodes, odd


def path_of(rows: Iterable[Row], leaf: int | None) -> list[Row]:
    """The rows from the root to the leaf; to the last row where the leaf is not among them."""
    by_id = {row[0]: row for row in rows}
    place = leaf if leaf in by_id else max(by_id, default=None)
    path: list[Row] = []
    while place is not None and place in by_id:
        row = by_id.pop(place)  # so that a circle, which no store wrote, ends as well
        path.append(row)
        place = row[1]
    return path[::-1]


def last_of(path: Sequence[T], count: int) -> T | None:
    """The last of the first `count` items of the path; None if there is none."""
    return path[min(count, len(path)) - 1] if path and count > 0 else None


def pack(text: str) -> bytes:
    """The bytes that a text is stored as."""
    return text.encode("utf-8", "surrogatepass")


def unpack(raw: bytes) -> str:
    """The text that is stored as these bytes."""
    return raw.decode("utf-8", "surrogatepass")


def _pack_if(text: str | None) -> bytes | None:
    return None if text is None else pack(text)


def _unpack_if(raw: bytes | None) -> str | None:
    return None if raw is None else unpack(raw)
