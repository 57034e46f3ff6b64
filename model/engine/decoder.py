"""Decoder: reads a prompt with the network, then writes token after token."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from time import monotonic, perf_counter
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gptoss_tui.kernels.kernels import Stream
from gptoss_tui.model.constraint.automaton import Automaton
from gptoss_tui.model.engine.engine import Detail, Finished, Item, PrefillProgress, Request, Token
from gptoss_tui.model.engine.prefix import FIRST_MILESTONE, Prefix
from gptoss_tui.model.engine.snapshots import SnapshotFolder
from gptoss_tui.model.engine.speculation import PASSES, Speculation
from gptoss_tui.model.errors import EngineError
from gptoss_tui.model.sampling import Sampler
from gptoss_tui.model.transformer import Transformer

LARGEST_CHUNK = 512

ALTERNATIVES = 5
"""The number of alternatives reported with a token."""

Reason = Literal["stop", "length", "context", "cancelled"]

Fired = NDArray[np.int64]
"""The experts that a pass chose [layers, tokens, experts per token]."""

Drawing = Callable[[Stream, int, int], Iterator[tuple[int, float]]]
"""Draws a token, with its logarithmic probability, after each row of the stream [tokens, hidden].

The place of the first in the answer, and the tokens left from there on, are given too."""


class Cancelled(Exception):
    """Raised between two layers, to leave the network early."""


class Decoder:
    """One network, with the cache of its last prompt.

    `context` bounds prompt and answer together, `longest` an answer whose sampling states no bound. `disk`
    has the openings of earlier prompts. With `speculate`, tokens that the text so far suggests are read
    together with the last one, where that is found to save time on the `clock`. Which tokens are drawn does
    not depend on it: each is drawn as it would be without, from the same logits, up to the rounding of a pass
    over several tokens.
    """

    def __init__(
        self,
        model: Transformer,
        context: int,
        longest: int | None = None,
        disk: SnapshotFolder | None = None,
        *,
        speculate: bool = True,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._model = model
        self._context = context
        self._longest = longest
        self._prefix = Prefix(model, disk)
        self._speculation = Speculation()
        self._speculate = speculate
        self._clock = clock
        self._drafted = self._accepted = 0

    def generate(
        self, request: Request, cancelled: Callable[[], bool], constraint: Automaton | None = None
    ) -> Iterator[Item]:
        """Carry out `request` as `Engine.generate` promises, until `cancelled()` is true at the latest.

        `constraint` is the automaton of the request's constraint, in its first state.

        Raises EngineError for a prompt that cannot be read, ValueError for sampling out of range,
        NumericalFault, and MemoryError or torch's errors for lack of memory. The decoder is usable after all
        of them.
        """
        prompt, sampling = request.prompt_ids, request.sampling
        self._check(prompt)
        draw = self._drawing(Sampler(sampling), constraint, exact=Detail.ALTERNATIVES in request.detail)
        fired = self._fired() if Detail.EXPERTS in request.detail else None
        try:
            started = monotonic()
            self._speculation.begin(prompt)
            self._drafted = self._accepted = 0
            stream = yield from self._read(prompt, request.opening, cancelled, fired)
            read = monotonic()
            reason: Reason = "cancelled"
            if stream is not None:
                limit = sampling.bound(self._longest)
                room = self._context - len(prompt)
                most = room if limit is None else min(room, limit)
                reason = yield from self._write(stream, draw, most, request, cancelled, fired=fired)
                if reason == "length" and most != limit:
                    reason = "context"
            yield Finished(reason, read - started, monotonic() - read, self._drafted, self._accepted)
        except Exception:
            self._prefix.forget()
            raise

    def read_ahead(
        self, prompt: Sequence[int], opening: int, cancelled: Callable[[], bool]
    ) -> Iterator[PrefillProgress]:
        """Read `prompt`, with which a later one begins; may be left at any time. Raises what `generate` does.

        The first `opening` tokens begin other prompts too.
        """
        self._check(prompt)
        try:
            if (yield from self._read(prompt, opening, cancelled, None)) is not None:
                self._prefix.mark()
        except Exception:
            self._prefix.forget()
            raise

    def rest(self, is_interrupted: Callable[[], bool]) -> None:
        """Do what can be done while nobody waits, until `is_interrupted()`: write the opening to disk."""
        self._prefix.save(is_interrupted)

    def _check(self, prompt: Sequence[int]) -> None:
        rows = self._model.config.vocab_size
        if not prompt:
            raise EngineError("The prompt is empty.")
        if min(prompt) < 0 or max(prompt) >= rows:
            raise EngineError(
                f"The prompt holds token ids outside 0 to {rows - 1}: another model's tokenizer?"
            )
        if len(prompt) >= self._context:
            raise EngineError(
                f"The prompt has {len(prompt):,} tokens and the context holds {self._context:,}.\n"
                "Shorten it, start a new conversation, or raise --context."
            )

    def _read(
        self, prompt: Sequence[int], opening: int, cancelled: Callable[[], bool], fired: Fired | None
    ) -> Generator[PrefillProgress, None, Stream | None]:
        """Read the new part of `prompt`; returns the stream [1, hidden] after it, or None if cancelled.

        The place before the last token is marked, so that the same prompt costs a single step the next time.
        """
        leave_if_cancelled = _leaving(cancelled)
        total, stream = len(prompt), None
        done = cached = self._prefix.rewind(prompt, opening)
        yield PrefillProgress(done, total, cached)
        while done < total:
            end = min(_chunk_end(done, self._prefix.opening), total)
            chosen = None if fired is None or end < total else _for_pass(fired, end - done)
            try:
                stream = self._prefix.read(prompt[done:end], leave_if_cancelled, chosen, last_only=True)
            except Cancelled:
                return None
            if fired is not None and chosen is not None:
                fired[:, :1] = chosen[:, -1:]
            done = end
            if done == total:
                self._prefix.mark(total - 1)
            yield PrefillProgress(done, total, cached)
        return stream

    def _write(
        self,
        stream: Stream,
        draw: Drawing,
        most: int,
        request: Request,
        cancelled: Callable[[], bool],
        *,
        fired: Fired | None,
    ) -> Generator[Token, None, Reason]:
        """Draw and read at most `most` tokens.

        The stream has a row after the last token and one after each token of the draft that was read with it.
        They are drawn from one after another. The first token that the draft did not guess stands, and what
        was read of the draft from there on is taken back.
        """
        tell = Detail.ALTERNATIVES in request.detail
        speculation, prefix, clock = self._speculation, self._prefix, self._clock
        read, draft, reading, written = len(request.prompt_ids), list[int](), 0.0, 0
        try:
            while True:
                seconds = []
                drawn = draw(stream, written, most)
                for place, guess in enumerate([*draft, None]):
                    began = clock()
                    token, logprob = next(drawn)
                    seconds.append(clock() - began)
                    self._accepted += token == guess
                    row = stream[place : place + 1]
                    alternatives = self._alternatives(row, request.sampling.temperature) if tell else ()
                    yield Token(token, logprob, alternatives, _by_layer(fired, place))
                    written += 1
                    if token in request.stop_ids:
                        return "stop"
                    most -= 1
                    if most == 0:
                        return "length"
                    if cancelled():
                        return "cancelled"
                    speculation.follow(token)
                    if token != guess:
                        break
                    read += 1
                if reading:  # The prompt's last token was not read here.
                    speculation.measured(len(draft) + 1, [reading + seconds[0], *seconds[1:]])
                prefix.cut(read)
                room = min(most - 1, prefix.draftable) if self._speculate else 0
                draft = speculation.draft(room, request.stop_ids)
                began = clock()
                before_layer = _leaving(cancelled) if draft else _stay
                stream = prefix.read([token, *draft], before_layer, _rows(fired, len(draft) + 1))
                reading = clock() - began
                read += 1
                self._drafted += len(draft)
        except Cancelled:
            return "cancelled"
        finally:
            prefix.cut(read)

    def _alternatives(self, stream: Stream, temperature: float) -> tuple[Token, ...]:
        """The most likely tokens after the stream [1, hidden], by the softmax of `Kernels.sample`."""
        sharpness = min(1 / temperature, 1e30) if temperature else 1.0
        logits = self._model.kernels.unembed(stream)[0]
        scores = logits.astype(np.float64) * sharpness
        scores -= scores.max()
        most = min(ALTERNATIVES, len(scores))
        best = np.argpartition(scores, -most)[-most:]
        best = best[np.argsort(-scores[best], kind="stable")]
        logprobs = scores[best] - np.log(np.exp(scores).sum())
        return tuple(map(Token, best.tolist(), logprobs.tolist()))

    def _fired(self) -> Fired:
        """The array into which a pass writes its experts."""
        config = self._model.config
        return np.zeros((config.num_hidden_layers, PASSES[-1], config.num_experts_per_tok), np.int64)

    def _drawing(self, sampler: Sampler, constraint: Automaton | None, *, exact: bool) -> Drawing:
        """The function that draws tokens by `sampler`, within `constraint`, with `exact` probabilities."""
        sample = partial(self._model.kernels.sample, exact=exact)

        if constraint is None:
            return lambda stream, place, _: sampler.sample(
                partial(sample, stream), range(place, place + len(stream))
            )

        def draw_one(row: Stream, place: int, allowed: NDArray[np.bool_] | None) -> tuple[int, float]:
            return next(sampler.sample(partial(sample, row), range(place, place + 1), allowed))

        def draw(stream: Stream, place: int, room: int) -> Iterator[tuple[int, float]]:
            for row in range(len(stream)):
                yield constraint.draw(partial(draw_one, stream[row : row + 1], place + row), room - row)

        return draw


def _leaving(cancelled: Callable[[], bool]) -> Callable[[], None]:
    """Leaves the network before a layer: a pass may take many seconds on a CPU, one layer of it does not."""

    def leave_if_cancelled() -> None:
        if cancelled():
            raise Cancelled

    return leave_if_cancelled


def _stay() -> None:
    """Leaves no pass: a plain step is over soon."""


def _for_pass(fired: Fired, tokens: int) -> Fired:
    """Room for the experts of a pass over `tokens`, of any number."""
    return np.empty((len(fired), tokens, fired.shape[2]), np.int64)


def _rows(fired: Fired | None, tokens: int) -> Fired | None:
    """The part of `fired` for a pass over `tokens`."""
    return None if fired is None else fired[:, :tokens]


def _by_layer(fired: Fired | None, place: int) -> tuple[tuple[int, ...], ...]:
    """The experts of a token of the last pass; none if they are not asked for."""
    return () if fired is None else tuple(map(tuple, fired[:, place].tolist()))


def _chunk_end(start: int, opening: int) -> int:
    """The end of the chunk from `start`, in a prompt whose opening ends at `opening`.

    Chunks end at multiples of their size, so that none steps over a milestone. The first ones are small, for
    the short prefixes that all conversations share.
    """
    size = min(LARGEST_CHUNK, max(FIRST_MILESTONE, 1 << (start.bit_length() - 1) if start else 0))
    end = start // size * size + size
    return opening if start < opening < end else end
