"""The process that holds the weights: `python -m gptoss_tui.model.engine.worker`.

Commands and answers are those of `wire.py`. The commands wait for each other, but a cancellation is noticed
while the main thread works, and reading ahead ends when another command comes.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING

from gptoss_tui.model.checkpoint import Checkpoint, checkpoint_at
from gptoss_tui.model.constraint import Constraint
from gptoss_tui.model.engine.engine import Abilities, EngineInfo, Finished, Loading, Request
from gptoss_tui.model.engine.wire import (
    WIRE,
    CallFailed,
    Cancel,
    EngineAnswer,
    EngineCommand,
    Load,
    ReadAhead,
    Rest,
)
from gptoss_tui.model.errors import CheckpointError, EngineError
from gptoss_tui.workers.parent import Parent

if TYPE_CHECKING:
    from gptoss_tui.model.constraint.automaton import Automaton
    from gptoss_tui.model.constraint.json_body import Schemas
    from gptoss_tui.model.engine.decoder import Decoder

PROGRESS_INTERVAL_S = 0.05

MOST_AHEAD = 8192
"""Tokens that are read ahead at most; a longer rest is read with the request."""

ABILITIES = Abilities(
    constrains=True,
    token_ids=True,
    logprobs=True,
    alternatives=True,
    experts=True,
    parallel=False,
    reads_ahead=True,
)

Command = Load | Request | ReadAhead | Rest


class Worker:
    """Carries out the commands, one after another."""

    def __init__(self) -> None:
        self._order: SimpleQueue[int] = SimpleQueue()
        self._waiting: dict[int, Command] = {}
        self._running = self._cancelled = 0
        self._device = "cpu"
        self._decoder: Decoder | None = None
        self._schemas: Future[Schemas] | None = None
        self._parent = Parent(WIRE, self._hear)

    def run(self) -> None:
        """Serve until the application ends."""
        while True:
            if self._order.empty():
                self._rest()
            # A command counts as running before it leaves the queue, so that a cancellation always finds it.
            self._running = self._order.get()
            if command := self._waiting.pop(self._running, None):
                self._serve(self._running, command)

    def _hear(self, call: int, command: EngineCommand) -> None:
        if not isinstance(command, Cancel):
            self._waiting[call] = command
            self._order.put(call)
        elif self._waiting.pop(call, None):
            self._answer(call, Finished("cancelled", 0.0, 0.0))
        elif call == self._running:
            self._cancelled = call

    def _answer(self, call: int, answer: EngineAnswer) -> None:
        self._parent.answer(call, answer)

    def _rest(self) -> None:
        """Do what is left to be done, until the next command comes."""
        try:
            if self._decoder is not None:
                self._decoder.rest(lambda: bool(self._waiting))
        except Exception as error:
            from gptoss_tui.model.engine.faults import is_fatal

            if is_fatal(error):
                raise
            traceback.print_exc()

    def _serve(self, call: int, command: Command) -> None:
        try:
            match command:
                case Load():
                    self._load(call, command)
                case Request():
                    self._generate(call, command)
                case ReadAhead():
                    self._read_ahead(call, command)
                case Rest():
                    self._rest()
                    self._answer(call, Finished("length", 0.0, 0.0))
        except (CheckpointError, EngineError) as error:
            self._answer(call, CallFailed(str(error)))
        except Exception as error:
            from gptoss_tui.model.engine.faults import explain, is_fatal

            if is_fatal(error):
                raise
            traceback.print_exc()
            self._answer(call, CallFailed(explain(error, self._device)))

    def _load(self, call: int, command: Load) -> None:
        started = monotonic()
        checkpoint = checkpoint_at(command.checkpoint)
        config = checkpoint.config
        context = _context(command.context, config.max_position_embeddings)
        self._answer(call, Loading("Starting", 0, 0))
        from gptoss_tui.model.engine import device
        from gptoss_tui.model.engine.decoder import Decoder
        from gptoss_tui.model.engine.snapshots import SnapshotFolder
        from gptoss_tui.model.load import load_network

        place = device.choose_device(command.device)
        dtype = device.choose_dtype(command.dtype, config)
        self._device = place
        # Loaded beside the weights, so that the first answer need not wait for it.
        self._schemas = ThreadPoolExecutor(1).submit(_read_vocabulary, checkpoint)
        model = load_network(checkpoint, place, dtype, self._progress(call))
        disk = None
        if command.snapshots is not None:
            disk = SnapshotFolder(Path(command.snapshots), command.snapshots_bytes, checkpoint.identity)
        self._decoder = Decoder(model, context, checkpoint.longest_answer, disk, speculate=command.speculate)
        self._answer(
            call,
            EngineInfo(
                model=command.name,
                device=device.describe(place, dtype),
                context=context,
                vocabulary=config.vocab_size,
                parameters=config.total_parameters,
                load_s=monotonic() - started,
                abilities=ABILITIES,
                longest_answer=checkpoint.longest_answer,
                read_for_token=config.read_for_token(
                    model.kernels.dense_bytes, model.kernels.unembedding_bytes
                )
                if place == "cpu"
                else None,
            ),
        )

    def _progress(self, call: int) -> Callable[[str, int, int], None]:
        told = 0.0

        def tell(stage: str, done: int, total: int) -> None:
            nonlocal told
            if done == total or monotonic() - told > PROGRESS_INTERVAL_S:
                told = monotonic()
                self._answer(call, Loading(stage, done, total))

        return tell

    def _generate(self, call: int, request: Request) -> None:
        if self._decoder is None:
            raise EngineError("No model is loaded.")
        constraint = self._automaton(request.constraint)
        for item in self._decoder.generate(request, lambda: self._cancelled == call, constraint):
            self._answer(call, item)

    def _read_ahead(self, call: int, command: ReadAhead) -> None:
        """Read ahead until another command waits: at once, or up to the next chunk if that needs the same."""
        if self._decoder is not None:
            ids = command.prompt_ids
            reading = self._decoder.read_ahead(
                ids, command.opening, lambda: self._cancelled == call or self._is_overtaken(ids)
            )
            for progress in reading:
                if self._waiting or progress.done - progress.cached >= MOST_AHEAD:
                    break
        self._answer(call, Finished("length", 0.0, 0.0))

    def _is_overtaken(self, ids: tuple[int, ...]) -> bool:
        """Whether a command waits, other than a request that continues `ids`."""
        return any(
            not isinstance(command, Request) or command.prompt_ids[: len(ids)] != ids
            for command in list(self._waiting.values())
        )

    def _automaton(self, constraint: Constraint | None) -> Automaton | None:
        if constraint is None or self._schemas is None:
            return None
        from gptoss_tui.model.constraint.automaton import Automaton

        schemas = self._schemas.result()
        return Automaton(constraint, schemas)


def _read_vocabulary(checkpoint: Checkpoint) -> Schemas:
    """The vocabulary that constraints need. Raises CheckpointError."""
    from gptoss_tui.model.constraint.json_body import Schemas
    from gptoss_tui.model.constraint.vocabulary import Vocabulary

    return Schemas(Vocabulary(checkpoint.tokenizer(), checkpoint.config.vocab_size))


def _context(wanted: int | None, most: int) -> int:
    """The context in tokens; `most` is the model's own."""
    if wanted is not None and not 2 <= wanted <= most:
        raise EngineError(f"The context must be from 2 to {most:,} tokens for this model, not {wanted:,}.")
    return wanted or most


if __name__ == "__main__":
    Worker().run()
