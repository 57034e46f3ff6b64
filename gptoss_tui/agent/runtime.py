"""Runtime: what all conversations of a program share, opened and closed once."""

from __future__ import annotations

import asyncio
from typing import Protocol

from ..events import events
from ..events.stream import Sink
from ..history.recorder import Recorder
from ..history.store import Store
from ..model.engine import Engine, EngineError
from ..model.errors import CheckpointError
from .filters.filter import FilterError
from .reasoning import ReasoningPolicy
from .renderer import Renderer
from .shared_load import LoadCancelled, Report, SharedLoad

_CLOSING = "The program is closing, so no model is loaded."


class AgentError(Exception):
    """A failure that a person can mend; the message is one sentence with the mend."""


class OpenSession(Protocol):
    """A session as far as the runtime that it is open on knows it."""

    async def finish(self) -> None:
        """Begin no other turn, and end the current one."""

    async def release(self) -> None:
        """Give back what its tools hold."""


class Runtime:
    """The engine, the renderer, the store and the filter. `model` is the name that the person chose.

    `store` has the conversations on disk, None stores none; `recorder` commits finished messages, and reports
    those that it cannot. `reasoning` is the policy for the raw reasoning. `sessions` are those that are open.
    """

    def __init__(
        self,
        engine: Engine,
        renderer: Renderer,
        *,
        model: str,
        store: Store | None = None,
        reasoning: ReasoningPolicy | None = None,
    ) -> None:
        self.engine = engine
        self.renderer = renderer
        self.model = model
        self.store = store
        self.recorder = Recorder()
        self.reasoning = reasoning or ReasoningPolicy()
        self.sessions: set[OpenSession] = set()
        self.is_closed = False
        self._load: SharedLoad | None = None
        self._is_complete = False  # tokenizer and filter are loaded as well

    @property
    def context_limit(self) -> int:
        """The most tokens that a conversation may hold; 0 until the model is loaded."""
        info = self.engine.info()
        return info.context if info else 0

    @property
    def is_loaded(self) -> bool:
        """True when a turn can begin: the model, the tokenizer and the filter are loaded."""
        return self._is_complete and self.engine.info() is not None

    async def load(self, emit: Sink) -> None:
        """Load tokenizer, model and filter, with progress, ending with EngineReady; raises AgentError.

        Sessions that ask at the same time follow one load, each at its own pace.
        """
        if self.is_closed:
            raise AgentError(_CLOSING)
        if self._load is None or self._load.is_over:
            self._load = SharedLoad(self._load_all)
        try:
            await self._load.follow(emit)
        except LoadCancelled:
            raise AgentError(_CLOSING) from None
        info = self.engine.info()
        if info is None:
            raise AgentError("The engine says that it loaded a model but not which; start again.")
        await emit(events.EngineReady(info.model, info.device, info.context, info.load_s))

    async def close(self) -> None:
        """Close the sessions, end the processes and close the store, once the last messages are on disk."""
        self.is_closed = True
        sessions = list(self.sessions)
        await asyncio.gather(*(session.finish() for session in sessions), return_exceptions=True)
        if self._load is not None:
            await self._load.cancel()
        await asyncio.gather(
            *(session.release() for session in sessions),
            self.engine.close(),
            self.renderer.close(),
            self.reasoning.close(),
            return_exceptions=True,
        )
        await self.recorder.close()
        if self.store is not None:
            await self.store.close()

    async def _load_all(self, report: Report) -> None:
        """Load what is not loaded; raises AgentError."""
        self._is_complete = False
        renderer = asyncio.ensure_future(self.renderer.start())
        try:
            async for loading in self.engine.load():
                report(events.EngineLoading(loading.stage, loading.done, loading.total))
            await renderer
            async for loading in self.reasoning.load():
                report(events.EngineLoading(loading.stage, loading.done, loading.total))
        except (EngineError, CheckpointError, FilterError) as error:
            raise AgentError(str(error)) from error
        finally:
            renderer.cancel()
            await asyncio.gather(renderer, return_exceptions=True)
        self._is_complete = True
