"""Reading ahead: the known part of the next prompt is read while the person reads, or thinks what to write.

The next prompt has the answer without the reasoning before it, so the engine must read the answer once more,
and may as well do so before the person has sent anything. Nothing waits for it and nothing shows it; it ends
when a generation begins (`Engine.read_ahead`).
"""

from __future__ import annotations

import asyncio

from ..harmony.message import Conversation
from ..history.cut import Cut
from ..model.engine import EngineError
from ..model.errors import CheckpointError
from .context import known_ids, opening
from .runtime import Runtime


class ReadingAhead:
    """The reading ahead of one conversation."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._task: asyncio.Task[None] | None = None
        self._asked = asyncio.Event()
        self._asked.set()

    def begin(self, conversation: Conversation, cut: Cut | None = None, most: int | None = None) -> None:
        """Begin to read what every prompt begins with in which the person goes on with `conversation`,
        of which the model is not shown what `cut` says.

        More than `most` tokens are not read: room is made before the next prompt, and changes it. Does
        nothing with an engine that cannot read ahead.
        """
        self.stop()
        info = self._runtime.engine.info()
        if self._runtime.is_loaded and info is not None and info.abilities.reads_ahead:
            self._asked = asyncio.Event()
            self._task = asyncio.ensure_future(self._read(conversation, cut, most, self._asked))

    def stop(self) -> None:
        """End it at once."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def asked(self) -> None:
        """Wait until the engine has been asked to read; what it reads is not waited for."""
        await self._asked.wait()

    async def _read(
        self, conversation: Conversation, cut: Cut | None, most: int | None, asked: asyncio.Event
    ) -> None:
        renderer = self._runtime.renderer
        try:
            ids = await known_ids(renderer, conversation, cut)
            if most is not None and len(ids) > most:
                return
            asked.set()
            await self._runtime.engine.read_ahead(ids, opening(ids, conversation, renderer.control))
        except (EngineError, CheckpointError):
            pass  # the next turn meets it as well, and tells it
        finally:
            asked.set()
