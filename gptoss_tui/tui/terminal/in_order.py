"""Keys in order: an application that handles one key after another.

Textual handles a key in several places: the application looks for bindings with priority, the focused widget
inserts text in its own queue, and any other key goes up through the queues of the parents to the bindings of
the application. The next key does not wait for that: of keys that arrive together, text overtakes commands.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from typing import Final, Generic, TypeVar

from textual import constants, events
from textual.app import App, ScreenStackError
from textual.driver import Driver
from textual.message_pump import MessagePump
from textual.widgets import Input, TextArea

from gptoss_tui.events.printable import printable

ReturnT = TypeVar("ReturnT")

_MOST_ROUNDS: Final = 5
_PATIENCE_S: Final = 3.0
"""The most seconds that the next keys wait for the end of a key's action."""


class InOrderApp(App[ReturnT], Generic[ReturnT]):
    """Handles a key, a paste or a click only when the event before it has wholly acted.

    A key has acted when every queue on its path has handled it and its consequences, and the focus rests.
    """

    def __init__(self) -> None:
        super().__init__()
        self.acting: asyncio.Task[None] | None = None
        """The task that runs until every event has acted, if there is one."""
        self._queue: deque[events.Event] = deque()
        self._path: list[MessagePump] = []

    def get_driver_class(self) -> type[Driver]:
        """Our own driver, unless this system has none or the environment asks for another."""
        if constants.DRIVER is not None or sys.platform == "win32":
            return super().get_driver_class()
        from gptoss_tui.tui.terminal.driver import TerminalDriver

        return TerminalDriver

    async def on_event(self, event: events.Event) -> None:
        fresh = isinstance(event, events.InputEvent | events.Paste) and not event.is_forwarded
        if not fresh or (isinstance(event, events.MouseEvent) and self.acting is None):
            await super().on_event(event)
            return
        if isinstance(event, events.Paste):
            # Textual's own editors draw their text unfiltered.
            event.text = printable(event.text.replace("\r\n", "\n").replace("\r", "\n"))
        self._queue.append(event)
        if self.acting is None:
            self.acting = asyncio.create_task(self._work_off())

    def on_paste_stalls(self) -> None:
        why = "A paste has begun whose end does not come: until then, every key is text of it."
        self.notify(f"{why} To paste something ends it.", severity="warning", markup=False)

    async def _work_off(self) -> None:
        try:
            while self._queue:
                event = self._queue.popleft()
                self.call_later(self._act, event)
                if not (self._is_text(event) and self._queue and self._is_text(self._queue[0])):
                    try:
                        await asyncio.wait_for(self._acted(), _PATIENCE_S)
                    except TimeoutError:
                        self.log.warning(f"{event} has not acted after {_PATIENCE_S} s")
        finally:
            self.acting = None

    async def _act(self, event: events.Event) -> None:
        self._path = self._path_now()
        await super().on_event(event)

    async def _acted(self) -> None:
        """Wait until the queues on the key's path have handled it and its consequences."""
        await _passed(self)
        path = self._path
        for _ in range(_MOST_ROUNDS):
            for pump in path:
                await _passed(pump)
            before, path = path, self._path_now()
            if path == before:
                break
        for pump in path:
            await _passed(pump)

    def _path_now(self) -> list[MessagePump]:
        """The path of a key: from the focused widget up to the application."""
        try:
            return list((self.focused or self.screen).ancestors_with_self)
        except ScreenStackError:
            return [self]

    def _is_text(self, event: events.Event) -> bool:
        """Whether `event` only adds a character to an editor, whose queue keeps the order of characters.

        No editor has a command on a letter, a digit or a space; another character has a name and may be one.
        """
        return (
            isinstance(event, events.Key)
            and event.is_printable
            and event.key in (event.character, "space")
            and isinstance(self._path_now()[0], Input | TextArea)
        )


async def _passed(pump: MessagePump) -> None:
    """Wait until `pump` has handled the messages in its queue. A closed pump has nothing to handle."""
    passed = asyncio.Event()
    if pump.call_later(passed.set):
        await passed.wait()
