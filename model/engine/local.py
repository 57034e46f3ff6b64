"""LocalEngine: the Engine whose weights live in a worker process on this machine.

Free of torch: this is the application's side. What the worker still answers to a call that was left goes to
nobody, so an iterator may be closed, or its task cancelled, at any moment.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from gptoss_tui.model.constraint import Constraint
from gptoss_tui.model.engine.cores import default_threads
from gptoss_tui.model.engine.engine import EngineDied, EngineInfo, Finished, Generation, Loading
from gptoss_tui.model.engine.wire import WIRE, Cancel, Failed, Generate, Load
from gptoss_tui.model.errors import EngineError
from gptoss_tui.model.sampling import Sampling, check
from gptoss_tui.workers.calls import Call, Calls
from gptoss_tui.workers.child import Child, ChildError
from gptoss_tui.workers.log import log_path

_WORKER = "gptoss_tui.model.engine.worker"


class LocalEngine:
    """One checkpoint in one worker process, which is started by the first `load()` or `generate()`.

    `device` is "auto", "cpu", "cuda" or "cuda:N"; `dtype` "auto", "float32" or "bfloat16"; `context` bounds
    prompt and answer in tokens (default: what the model was made for); `threads` the CPU threads (default:
    one for each physical core); `log` is the file for what the worker prints. One event loop only, and the
    worker does not outlive its thread.
    """

    def __init__(
        self,
        checkpoint: Path,
        *,
        name: str,
        device: str = "auto",
        dtype: str = "auto",
        context: int | None = None,
        threads: int | None = None,
        log: Path | None = None,
    ) -> None:
        self._load_command = Load(str(checkpoint.absolute()), name, device, dtype, context)
        self._threads = threads or default_threads()
        self._log = log or log_path("engine")
        self._worker: Child | None = None
        self._calls: Calls | None = None
        self._info: EngineInfo | None = None
        self._loaded = False
        self._load_call: Call | None = None
        self._generation: Call | None = None
        self._cancelled = False
        self._turn = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """The worker's process id, while there is one."""
        return self._worker.pid if self._worker else None

    async def load(self) -> AsyncIterator[Loading]:
        """Start the worker if need be and load the checkpoint: `Engine.load`.

        Waits for another load or generation to end. Left early, the loading goes on, and the next call
        joins it.
        """
        async with self._turn:
            while progress := await self._load_step():
                yield progress

    async def generate(
        self,
        prompt_ids: Sequence[int],
        sampling: Sampling,
        stop_ids: Sequence[int],
        constraint: Constraint | None = None,
    ) -> Generation:
        """Continue `prompt_ids`, loading first if need be: `Engine.generate`.

        One at a time: a second call waits until the first has ended or its iterator is closed.
        """
        try:
            check(sampling)
        except ValueError as error:
            raise EngineError(f"{error}.") from None
        async with self._turn:
            self._cancelled = False
            try:
                while await self._load_step():
                    if self._cancelled:
                        yield Finished("cancelled", 0.0, 0.0)
                        return
                command = Generate(list(prompt_ids), sampling, list(stop_ids), constraint)
                self._generation = self._call(command)
                answer = None
                while not isinstance(answer, Finished):
                    answer = await self._answer(self._generation)
                    yield answer
            finally:
                if self._generation is not None:
                    self._generation.send(Cancel())  # without effect on a call that has ended
                    self._generation.leave()
                    self._generation = None

    async def cancel(self) -> None:
        """Stop the running generation, if there is one: `Engine.cancel`."""
        self._cancelled = True
        if self._generation is not None:
            self._generation.send(Cancel())

    def info(self) -> EngineInfo | None:
        """What was loaded last, or None before the first load."""
        return self._info

    async def close(self) -> None:
        """End the worker. A running generation ends with EngineDied."""
        if self._worker:
            await self._worker.end()

    async def _load_step(self) -> Loading | None:
        """Take loading one step further; None once the weights are there."""
        if self._worker is None or not self._worker.is_alive:
            self._start()
        if self._loaded:
            return None
        if self._load_call is None:
            self._load_call = self._call(self._load_command)
        try:
            answer = await self._answer(self._load_call)
        except EngineError:
            self._load_call = None
            raise
        if isinstance(answer, Loading):
            return answer
        self._info, self._loaded = answer, True
        return None

    def _start(self) -> None:
        # Idle OpenMP threads sleep: spinning was measured 10x slower beside neighbours on the same cores.
        environment = {
            "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE"),
            "OMP_NUM_THREADS": str(self._threads),
        }
        try:
            self._worker = Child.start("engine", _WORKER, log=self._log, environment=environment)
        except ChildError as error:
            raise EngineError(f"The {error}.") from error
        self._calls = Calls(self._worker, WIRE)
        self._loaded, self._load_call = False, None

    def _call(self, command: Load | Generate) -> Call:
        """Hand over a command. Raises EngineDied when the worker has ended."""
        assert self._calls is not None
        try:
            return self._calls.call(command)
        except ChildError as error:
            self._worker = None
            raise EngineDied(str(error)) from error

    async def _answer(self, call: Call) -> Any:
        """The next answer to `call`. Raises EngineError for a failure, EngineDied for the worker's end."""
        try:
            answer = await call.answer()
        except ChildError as error:
            self._worker = None
            raise EngineDied(str(error)) from error
        if isinstance(answer, Failed):
            raise EngineError(answer.message)
        return answer
