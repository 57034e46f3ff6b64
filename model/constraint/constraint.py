"""Constraint: what a sample may hold, as plain data, so that it can be written down and sent anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Edge:
    """A way on from a state to state `to`: exactly `text`, in any tokens, then the token `control`."""

    text: str
    control: int
    to: int


@dataclass(frozen=True, slots=True)
class State:
    """Where a sample stands, and how it may go on.

    Before the edges' control tokens come the edges' own texts (`body` "none"), any ordinary tokens ("any"),
    or a JSON document that is valid against the JSON Schema `schema` ("json"). No two edges of a state have
    the same text and control token; those of a state with a body have no text.
    """

    edges: tuple[Edge, ...]
    body: Literal["none", "any", "json"] = "none"
    schema: str = ""


@dataclass(frozen=True, slots=True)
class Constraint:
    """Which tokens may be sampled: an automaton of control tokens with texts between them.

    The sample begins in state `start`. When `strict`, nothing can be sampled that no edge allows. Otherwise
    only the "json" bodies are enforced: the rest is followed, and what follows no edge is let through until
    the next `restart` token, after which the sample is in state `restarted`. After an edge to END nothing is
    enforced.
    """

    states: tuple[State, ...]
    start: int
    strict: bool
    restart: int
    restarted: int


END = -1
