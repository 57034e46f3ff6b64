"""LocalEngine: the Engine whose weights live in a worker process on this machine.

Free of torch: this is the application's side. Answers of the worker to a call that was left are dropped, so a
generation may be closed, or its task cancelled, at any moment.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from gptoss_tui.model.cores import default_threads
from gptoss_tui.model.engine.engine import (
    EngineDied,
    EngineInfo,
    Finished,
    Generation,
    Item,
    Loading,
    Request,
)
from gptoss_tui.model.engine.wire import WIRE, CallFailed, Cancel, Load, ReadAhead, Rest
from gptoss_tui.model.errors import EngineError
from gptoss_tui.model.sampling import check
from gptoss_tui.workers.calls import Calls, OpenCall
from gptoss_tui.workers.child import Child, ChildError
from gptoss_tui.workers.log import log_path

_WORKER = "gptoss_tui.model.engine.worker"

_LAST_REST_S = 1.0
"""How long closing waits for a snapshot to be written; reading its tokens again may take far longer."""


class LocalEngine:
    """One checkpoint in one worker process, which is started by the first `load()` or `generate()`.

    Generations that are open at once are served one after the other, in the order in which they began.

    `device` is "auto", "cpu", "cuda" or "cuda:N"; `dtype` "auto", "float32" or "bfloat16"; `context` bounds
    prompt and answer in tokens (default: the model's own context); `threads` are the CPU threads (default:
    one for each physical core); `speculate` lets it read several tokens at once where the text so far
    suggests them and that saves time; `log` is the file for the worker's prints. The openings of requests are
    kept in the folder `snapshots`, if one is given, `snapshots_bytes` together at most. Only one event loop
    may use it, and the worker does not outlive its thread.
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
        speculate: bool = True,
        log: Path | None = None,
        snapshots: Path | None = None,
        snapshots_bytes: int = 1_000_000_000,
    ) -> None:
        folder = None if snapshots is None else str(snapshots.absolute())
        self._load_command = Load(
            str(checkpoint.absolute()), name, device, dtype, context, speculate, folder, snapshots_bytes
        )
        self._threads = threads or default_threads()
        self._log = log or log_path("engine")
        self._worker: Child | None = None
        self._calls: Calls | None = None
        self._info: EngineInfo | None = None
        self._loaded = False
        self._load_call: OpenCall | None = None
        self._loading = asyncio.Lock()
        self._open = 0  # generations

    @property
    def pid(self) -> int | None:
        """The worker's process id, while there is one."""
        return self._worker.pid if self._worker and self._worker.is_alive else None

    async def load(self) -> AsyncIterator[Loading]:
        """Start the worker if need be and load the checkpoint: `Engine.load`.

        If the iterator is left early, loading goes on, and the next call joins it. Of several callers only
        one gets the progress.
        """
        async with self._loading:
            while progress := await self._load_step():
                yield progress

    def generate(self, request: Request) -> Generation:
        """The generation of `request`, after loading if need be: `Engine.generate`."""
        return Generation(partial(self._run, request))

    async def _run(self, request: Request, stop: asyncio.Future[None]) -> AsyncGenerator[Item, None]:
        try:
            check(request.sampling)
        except ValueError as error:
            raise EngineError(f"{error}.") from None
        if not await self._is_loaded_before(stop):
            yield Finished("cancelled", 0.0, 0.0)
            return
        call = self._call(request)
        stop.add_done_callback(lambda _: call.send(Cancel()))  # without effect on a call that has ended
        answer = None
        self._open += 1
        try:
            while not isinstance(answer, Finished):
                answer = await self._answer(call)
                yield answer
        finally:
            self._open -= 1
            if not isinstance(answer, Finished):
                call.send(Cancel())
            call.leave()

    async def read_ahead(self, prompt_ids: Sequence[int], opening: int = 0) -> None:
        """Read `prompt_ids` while there is nothing else to do: `Engine.read_ahead`."""
        if not self._is_idle:
            return
        call = self._call(ReadAhead(tuple(prompt_ids), opening))
        answer = None
        try:
            answer = await self._answer(call)
        finally:
            if answer is None:
                call.send(Cancel())
            call.leave()

    @property
    def _is_idle(self) -> bool:
        """Whether the weights are loaded and no generation is open."""
        return self._loaded and self.pid is not None and not self._open

    def info(self) -> EngineInfo | None:
        """The model that was loaded last, or None before the first load."""
        return self._info

    async def close(self) -> None:
        """End the worker. Open generations end with EngineDied; without any, a snapshot is written first."""
        if self._worker is None:
            return
        if self._load_command.snapshots is not None and self._is_idle:
            with suppress(TimeoutError, EngineError):
                await asyncio.wait_for(self._answer(self._call(Rest())), _LAST_REST_S)
        await self._worker.end()

    async def _is_loaded_before(self, stop: asyncio.Future[None]) -> bool:
        """Load if need be; false if `stop` is done first."""
        loading = asyncio.ensure_future(self._load())
        try:
            await asyncio.wait((loading, stop), return_when=asyncio.FIRST_COMPLETED)
            if not stop.done():
                await loading
            return not stop.done()
        finally:
            loading.cancel()
            await asyncio.gather(loading, return_exceptions=True)

    async def _load(self) -> None:
        async with self._loading:
            while await self._load_step():
                pass

    async def _load_step(self) -> Loading | None:
        """The next progress of loading; None once the weights are loaded."""
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

    def _call(self, command: Load | Request | ReadAhead | Rest) -> OpenCall:
        """Send a command. Raises EngineDied if the worker has ended."""
        assert self._calls is not None
        try:
            return self._calls.call(command)
        except ChildError as error:
            raise EngineDied(str(error)) from error

    async def _answer(self, call: OpenCall) -> Any:
        """The next answer to `call`. Raises EngineError for a failure, EngineDied for the worker's end."""
        try:
            answer = await call.answer()
        except ChildError as error:
            raise EngineDied(str(error)) from error
        if isinstance(answer, CallFailed):
            raise EngineError(answer.message)
        return answer
