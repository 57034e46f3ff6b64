"""Constraint: the texts that a sample may have, as plain data that can be stored and sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Edge:
    """A transition to state `to`: exactly `text`, in any tokens, then the token `control`."""

    text: str
    control: int
    to: int


@dataclass(frozen=True, slots=True)
class State:
    """A state of a sample, with its transitions.

    Before an edge's control token comes the edge's own text (`body` "none"), any ordinary tokens ("any"), or
    a JSON document that is valid against the JSON Schema `schema` ("json"). No two edges of a state have the
    same text and control token; edges of a state with a body have no text.
    """

    edges: tuple[Edge, ...]
    body: Literal["none", "any", "json"] = "none"
    schema: str = ""


@dataclass(frozen=True, slots=True)
class Constraint:
    """An automaton of the tokens that may be sampled: control tokens with texts between them.

    The sample begins in state `start`. If `strict`, only tokens that an edge allows are sampled. Otherwise
    only "json" bodies are enforced: other texts are followed, and a text that fits no edge may go on until
    the next `restart` token, after which the sample is in state `restarted`. After an edge to END nothing is
    enforced.
    """

    states: tuple[State, ...]
    start: int
    strict: bool
    restart: int
    restarted: int


END = -1
