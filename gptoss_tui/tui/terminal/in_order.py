"""Keys, one after the other.

Textual acts on a key in several places: the application looks for bindings with priority, the focused widget
inserts text in its own queue, and what is left goes up through the queues of its parents to the bindings of
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
"""How long a key whose action does not end holds back those after it."""


class InOrderApp(App[ReturnT], Generic[ReturnT]):
    """Hands on a key, a paste or a click only when the one before has wholly acted.

    A key has acted when every queue on its way has passed it, then what it caused, and the focus rests.
    """

    def __init__(self) -> None:
        super().__init__()
        self.acting: asyncio.Task[None] | None = None
        """Runs until every key that came has acted."""
        self._line: deque[events.Event] = deque()
        self._path: list[MessagePump] = []

    def get_driver_class(self) -> type[Driver]:
        """Our reader of the terminal, unless there is none for this system or another one was asked for."""
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
            # Textual's own editors put out what they hold.
            event.text = printable(event.text.replace("\r\n", "\n").replace("\r", "\n"))
        self._line.append(event)
        if self.acting is None:
            self.acting = asyncio.create_task(self._work_off())

    def on_paste_stalls(self) -> None:
        why = "A paste has begun whose end does not come: until then, every key is text of it."
        self.notify(f"{why} To paste something ends it.", severity="warning", markup=False)

    async def _work_off(self) -> None:
        try:
            while self._line:
                event = self._line.popleft()
                self.call_later(self._act, event)
                if not (self._is_text(event) and self._line and self._is_text(self._line[0])):
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
        """Wait until the key has gone all its way, and what it caused has followed."""
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
        """The way of a key: from where the focus is, up to the application."""
        try:
            return list((self.focused or self.screen).ancestors_with_self)
        except ScreenStackError:
            return [self]

    def _is_text(self, event: events.Event) -> bool:
        """Whether `event` only adds to an editor's text: the editor's queue keeps the order of these.

        A letter, a digit or a space is no command in any editor; other characters, which have names, may be.
        """
        return (
            isinstance(event, events.Key)
            and event.is_printable
            and event.key in (event.character, "space")
            and isinstance(self._path_now()[0], Input | TextArea)
        )


async def _passed(pump: MessagePump) -> None:
    """Wait until `pump` has handled what stands in its queue now; one that is closed takes nothing more."""
    passed = asyncio.Event()
    if pump.call_later(passed.set):
        await passed.wait()
