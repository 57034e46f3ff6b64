"""The part of a conversation that the model is not shown any more, which stays where it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from .node import Node, last_of, pack, unpack

_Number = int | None
Columns = tuple[_Number, _Number, _Number, _Number, bytes, int, int]

INSERT: Final = """
insert into cut (session, message, first, within, outputs, summary, before, after)
values (?, ?, ?, ?, ?, ?, ?, ?)
"""

CUTS: Final = """
select message, first, within, outputs, summary, before, after from cut where session = ? order by id
"""


@dataclass(frozen=True, slots=True)
class Cut:
    """What the model is shown less than the whole conversation. Places count messages from the beginning.

    The turns before `first` are left out, and `summary`, if any, stands for them. Of the turn that begins at
    `first`, what lies before `within` is left out as well, but for the person's message. Before `outputs`,
    the outputs of tools are shortened. It was decided after `at` messages, when the prompt had `before`
    tokens; it had `after` then.
    """

    first: int = 0
    within: int = 0
    outputs: int = 0
    summary: str = ""
    at: int = 0
    before: int = 0
    after: int = 0

    def columns(self, path: Sequence[Node]) -> Columns:
        """The values to store. A place is stored as the number of the message before it."""

        def before(place: int) -> _Number:
            last = last_of(path, place)
            return last.id if last is not None else None

        places = before(self.at), before(self.first), before(self.within), before(self.outputs)
        return *places, pack(self.summary), self.before, self.after

    @classmethod
    def of(cls, columns: Columns, places: Mapping[int | None, int]) -> Cut:
        """The stored cut on a path, of which `places` are the messages up to each number."""
        at, first, within, outputs, summary, before, after = columns
        begins, resumes, shortened = (
            0 if number is None else places[number] for number in (first, within, outputs)
        )
        return cls(begins, resumes, shortened, unpack(summary), places[at], before, after)
