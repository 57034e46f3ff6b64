"""Decoder: reads a prompt with the network, then writes token after token."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from time import monotonic
from typing import Literal

import torch
from torch import Tensor

from gptoss_tui.model.constraint.automaton import Automaton
from gptoss_tui.model.engine.engine import Detail, Finished, Item, PrefillProgress, Request, Token
from gptoss_tui.model.engine.prefix import FIRST_MILESTONE, Prefix
from gptoss_tui.model.engine.snapshots import SnapshotFolder
from gptoss_tui.model.errors import EngineError
from gptoss_tui.model.sampling import Sampler
from gptoss_tui.model.transformer import Transformer

LARGEST_CHUNK = 512

ALTERNATIVES = 5
"""The number of alternatives reported with a token."""

Reason = Literal["stop", "length", "context", "cancelled"]

Drawing = Callable[[Tensor, int], tuple[int, float]]
"""Draws a token, with its logarithmic probability, from the stream [1, hidden] and the tokens left."""


class Cancelled(Exception):
    """Raised between two layers, to leave the network early."""


class Decoder:
    """One network, with the cache of its last prompt.

    `context` bounds prompt and answer together, `longest` an answer whose sampling states no bound. `disk`
    has the openings of earlier prompts.
    """

    def __init__(
        self,
        model: Transformer,
        context: int,
        longest: int | None = None,
        disk: SnapshotFolder | None = None,
    ) -> None:
        self._model = model
        self._context = context
        self._longest = longest
        self._prefix = Prefix(model, disk)

    def generate(
        self, request: Request, cancelled: Callable[[], bool], constraint: Automaton | None = None
    ) -> Iterator[Item]:
        """Carry out `request` as `Engine.generate` promises, until `cancelled()` is true at the latest.

        `constraint` is the automaton of the request's constraint, in its first state.

        Raises EngineError for a prompt that cannot be read, ValueError for sampling out of range,
        NumericalFault, and torch's errors for lack of memory. The decoder is usable after all of them.
        """
        prompt, sampling = request.prompt_ids, request.sampling
        self._check(prompt)
        draw = self._drawing(Sampler(sampling), constraint)
        fired = self._fired() if Detail.EXPERTS in request.detail else None
        try:
            started = monotonic()
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
            yield Finished(reason, read - started, monotonic() - read)
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
        self, prompt: Sequence[int], opening: int, cancelled: Callable[[], bool], fired: Tensor | None
    ) -> Generator[PrefillProgress, None, Tensor | None]:
        """Read the new part of `prompt`; returns the stream [1, hidden] after it, or None if cancelled.

        Reading can be cancelled between two layers: a chunk of a long prompt may take many seconds on a CPU,
        one layer of it does not. The last token is read alone, so that the place before it is marked and the
        same prompt costs a single step the next time.
        """

        def leave_if_cancelled() -> None:
            if cancelled():
                raise Cancelled

        total = len(prompt)
        done = cached = self._prefix.rewind(prompt, opening)
        yield PrefillProgress(done, total, cached)
        try:
            while done < total - 1:
                end = min(_chunk_end(done, self._prefix.opening), total - 1)
                self._prefix.read(prompt[done:end], leave_if_cancelled)
                done = end
                yield PrefillProgress(done, total, cached)
            self._prefix.mark()
            stream = self._prefix.read(prompt[-1:], leave_if_cancelled, fired)
        except Cancelled:
            return None
        yield PrefillProgress(total, total, cached)
        return stream

    def _write(
        self,
        stream: Tensor,
        draw: Drawing,
        most: int,
        request: Request,
        cancelled: Callable[[], bool],
        *,
        fired: Tensor | None,
    ) -> Generator[Token, None, Reason]:
        """Draw and read at most `most` tokens."""
        tell = Detail.ALTERNATIVES in request.detail
        while True:
            token, logprob = draw(stream, most)
            alternatives = self._alternatives(stream, request.sampling.temperature) if tell else ()
            yield Token(token, logprob, alternatives, _by_layer(fired))
            if token in request.stop_ids:
                return "stop"
            most -= 1
            if most == 0:
                return "length"
            if cancelled():
                return "cancelled"
            stream = self._prefix.read([token], fired=fired)

    def _alternatives(self, stream: Tensor, temperature: float) -> tuple[Token, ...]:
        """The most likely tokens after the stream [1, hidden], by the softmax of `Kernels.sample`."""
        sharpness = min(1 / temperature, 1e30) if temperature else 1.0
        logits = self._model.kernels.unembed(stream)[0].double()
        top = (logits * sharpness).log_softmax(0).topk(min(ALTERNATIVES, len(logits)))
        return tuple(map(Token, top.indices.tolist(), top.values.tolist()))

    def _fired(self) -> Tensor:
        """The tensor into which a step of one token writes its experts."""
        config = self._model.config
        shape = config.num_hidden_layers, 1, config.num_experts_per_tok
        return torch.zeros(shape, dtype=torch.int64, device=self._model.device)

    def _drawing(self, sampler: Sampler, constraint: Automaton | None) -> Drawing:
        """The function that draws tokens by `sampler`, within `constraint`."""
        sample, device = self._model.kernels.sample, self._model.device
        if constraint is None:
            return lambda stream, _: sampler.sample(partial(sample, stream))

        def draw(stream: Tensor, room: int) -> tuple[int, float]:
            return constraint.draw(
                lambda mask: sampler.sample(
                    partial(sample, stream), None if mask is None else torch.from_numpy(mask).to(device)
                ),
                room,
            )

        return draw


def _by_layer(fired: Tensor | None) -> tuple[tuple[int, ...], ...]:
    """The experts of the last step; none if they are not asked for."""
    return () if fired is None else tuple(map(tuple, fired[:, 0].tolist()))


def _chunk_end(start: int, opening: int) -> int:
    """The end of the chunk from `start`, in a prompt whose opening ends at `opening`.

    Chunks end at multiples of their size, so that none steps over a milestone. The first ones are small, for
    the short prefixes that all conversations share.
    """
    size = min(LARGEST_CHUNK, max(FIRST_MILESTONE, 1 << (start.bit_length() - 1) if start else 0))
    end = start // size * size + size
    return opening if start < opening < end else end
