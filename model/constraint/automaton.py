"""Automaton: follows a sample through the states of a Constraint and determines the allowed tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from gptoss_tui.model.constraint.constraint import END, Constraint, Edge, State
from gptoss_tui.model.constraint.json_body import JsonBody, Schemas
from gptoss_tui.model.errors import EngineError

if TYPE_CHECKING:
    from numpy.typing import NDArray

ASTRAY = -2

DrawToken = Callable[["NDArray[np.bool_] | None"], tuple[int, float]]
"""Draws a token, with its logarithmic probability, among those that a mask [rows] allows; None allows all."""


class Automaton:
    """The state of one sample under `constraint`. Raises EngineError for a bad constraint."""

    def __init__(self, constraint: Constraint, schemas: Schemas) -> None:
        self._constraint = constraint
        self._vocabulary = schemas.vocabulary
        self._bodies: dict[int, JsonBody] = {}
        states = constraint.states
        targets = [constraint.start, constraint.restarted, *(edge.to for s in states for edge in s.edges)]
        if not all(END <= target < len(states) for target in targets):
            raise EngineError("The constraint leads to a state that it does not have.")
        for index, state in enumerate(states):
            if state.body == "json":
                try:
                    self._bodies[index] = schemas.begin(state.schema)
                except (ValueError, RecursionError) as error:
                    raise EngineError(f"The answer cannot be held to this JSON Schema: {error}.") from None
        self._enter(constraint.start)

    def draw(self, draw: DrawToken, room: int) -> tuple[int, float]:
        """Draw the next token by `draw` and follow it; `room` tokens are left, this one included."""
        token, logprob = draw(self.allowed())
        # The control token that ends the document needs room, too.
        if self._body and self._vocabulary.ordinary[token] and not self._body.leaves_room(token, room - 2):
            self._body.close()
            token, logprob = draw(self.allowed())
        self.advance(token)
        return token, logprob

    def allowed(self) -> NDArray[np.bool_] | None:
        """True [rows] for each token that may come next; None if all may."""
        state = self._state
        if state is None or (state.body != "json" and not self._constraint.strict):
            return None
        if state.body == "any":
            mask = self._vocabulary.ordinary.copy()
        elif self._body:
            mask = self._body.allowed()
        else:
            mask = np.zeros(self._vocabulary.rows, dtype=bool)
            mask[self._spelling(state)] = True
        mask[self._controls(state)] = True
        if not mask.any():
            # llguidance reached a limit of its own in the middle of a document, or a constraint has a state
            # without edges: the sample may end, or else any token may come.
            mask[[edge.control for edge in state.edges if edge.control < self._vocabulary.rows]] = True
        return mask if mask.any() else None

    def advance(self, token: int) -> None:
        """Follow `token`, whether it was allowed or not."""
        state = self._state
        if state is not None:
            if self._vocabulary.ordinary[token]:
                self._write(state, token)
                return
            if token in self._controls(state):
                self._enter(next(e.to for e in self._ready(state) if e.control == token))
                return
            self._leave()
        if self._at == ASTRAY and token == self._constraint.restart:
            self._enter(self._constraint.restarted)

    @property
    def _state(self) -> State | None:
        """The state of the sample; None where it is unknown or nothing is enforced."""
        return self._constraint.states[self._at] if self._at >= 0 else None

    def _enter(self, at: int) -> None:
        self._at = at
        self._written = b""
        self._body = self._bodies[at].copy() if at in self._bodies else None

    def _leave(self) -> None:
        self._enter(ASTRAY)

    def _write(self, state: State, token: int) -> None:
        """Follow an ordinary token in `state`."""
        if state.body == "none":
            self._written += self._vocabulary.bytes_of(token)
            follows = any(edge.text.encode().startswith(self._written) for edge in state.edges)
        else:
            follows = self._body is None or self._body.follow(token)
        if not follows:
            self._leave()

    def _ready(self, state: State) -> list[Edge]:
        """The edges whose control token may come now."""
        if state.body == "none":
            return [edge for edge in state.edges if edge.text.encode() == self._written]
        return list(state.edges) if self._body is None or self._body.is_complete else []

    def _controls(self, state: State) -> list[int]:
        return [edge.control for edge in self._ready(state) if edge.control < self._vocabulary.rows]

    def _spelling(self, state: State) -> list[int]:
        """The tokens with which the rest of an edge's text can begin."""
        ids, found = self._vocabulary.ids, []
        for edge in state.edges:
            text = edge.text.encode()
            if text.startswith(self._written):
                rest = text[len(self._written) :]
                starts = (rest[:size] for size in range(1, min(len(rest), self._vocabulary.longest) + 1))
                found += [ids[start] for start in starts if start in ids]
        return found
