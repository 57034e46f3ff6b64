"""One cell in a kernel: its events become text for the model, and it ends in any case."""

from __future__ import annotations

import asyncio
import base64
import binascii
import errno
import os
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path

from ..tool import Output
from .console import Console
from .kernel import CellFinished, Died, Displayed, Kernel, KernelEvent, Printed, Raised
from .traceback import trim

GRACE = 2.0  # seconds between the interrupt and the kill
NOTHING = "[No output. Use print(...), or end the code with an expression, to see a value.]"
LOST = "All variables are lost; the next call starts a new Python."
PICTURES = {"image/png": "png", "image/jpeg": "jpg", "image/gif": "gif", "image/webp": "webp"}


class Cell:
    """Runs one cell in `kernel`.

    Afterwards the kernel is idle, or `lost`, or still `running` the cell if its end was not awaited.
    """

    def __init__(self, kernel: Kernel, workspace: Path, time_limit: float) -> None:
        self._kernel = kernel
        self._workspace = workspace
        self._time_limit = time_limit
        self._console = Console()
        self.running = False
        self.lost = False

    async def run(self, code: str) -> AsyncGenerator[Output, None]:
        """The cell's prints, displays and errors, as they happen."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._time_limit
        stopped = ""
        event: KernelEvent | None = None
        self.running = True
        self._kernel.execute(code)
        while not isinstance(event, CellFinished | Died):
            try:
                event = await self._kernel.next(deadline - loop.time())
            except TimeoutError:
                event = None
                if stopped:
                    break
                stopped = f"Timed out after {self._time_limit:g} s"
                deadline = await self._interrupt()
                continue
            output = self._output(event)
            if output.text or output.files:
                yield output
            if self._console.flooded and not stopped:
                stopped = "Stopped because it printed too much"
                deadline = await self._interrupt()
        if (output := await self._end(event, stopped)).text:
            yield output

    async def stop(self) -> None:
        """End an abandoned cell: interrupt it, and kill the kernel after `GRACE`."""
        deadline = await self._interrupt()
        loop = asyncio.get_running_loop()
        try:
            while not isinstance(
                event := await self._kernel.next(deadline - loop.time()), CellFinished | Died
            ):
                pass
        except TimeoutError:
            await self._lose()
        else:
            if isinstance(event, Died) or event.leaving:
                await self._lose()
        self.running = False

    def _output(self, event: KernelEvent) -> Output:
        """The output for one event, perhaps empty so far."""
        match event:
            case Printed(text):
                return Output(self._console.write(text))
            case Displayed(data):
                text, files = self._describe(data)
                return Output(self._console.show(text), files=files)
            case Raised(traceback):
                return Output(self._console.show(trim(traceback)), is_error=True)
        return Output("")

    async def _end(self, event: KernelEvent | None, stopped: str) -> Output:
        """The last output, after the cell's last event; None is a cell that could not even be interrupted."""
        if isinstance(event, CellFinished) and event.leaving:
            event = await self._kernel.death(GRACE)
        match event:
            case None:
                await self._lose()
                return self._last(f"[ERROR] {stopped} and did not react to an interrupt. {LOST}")
            case Died(how):
                await self._lose()
                return self._last(f"[ERROR] The Python process ended ({how}). {LOST}")
        self.running = False
        if stopped:
            return self._last(f"[ERROR] {stopped} and was interrupted. Variables are kept.")
        return Output(self._console.finish() or (NOTHING if self._console.empty else ""))

    async def _interrupt(self) -> float:
        """Interrupt the cell; returns the loop time by which it must end."""
        await self._kernel.interrupt()
        return asyncio.get_running_loop().time() + GRACE

    async def _lose(self) -> None:
        await self._kernel.kill()
        self.running, self.lost = False, True

    def _last(self, note: str) -> Output:
        return Output(self._console.show(note) + self._console.finish(), is_error=True)

    def _describe(self, data: Mapping[str, str]) -> tuple[str, tuple[Path, ...]]:
        """A rich value as text: pictures are saved and named; of other forms only the plain text counts."""
        for kind, ending in PICTURES.items():
            if kind in data:
                return self._picture(kind, ending, data[kind])
        if "text/plain" in data and not data["text/plain"].startswith("<IPython.core.display."):
            return data["text/plain"], ()
        rich = {kind: body for kind, body in data.items() if kind != "text/plain"}
        return "\n".join(f"[{kind}, {len(body):,} characters, not shown]" for kind, body in rich.items()), ()

    def _picture(self, kind: str, ending: str, encoded: str) -> tuple[str, tuple[Path, ...]]:
        try:
            picture = base64.b64decode(encoded)
        except binascii.Error:
            return f"[{kind}, damaged]", ()
        if not picture:
            return f"[{kind}, too large to keep]", ()
        what = f"{kind}, {len(picture):,} bytes"
        try:
            path = self._save(picture, ending)
        except OSError as error:
            return f"[{what}, not saved: {error.strerror}]", ()
        return f"[{what}, saved as {path.name}]", (path,)

    def _save(self, picture: bytes, ending: str) -> Path:
        """Write a picture into the workspace under an unused name; raises OSError."""
        owner = self._workspace.stat()
        for number in range(1, 1000):
            path = self._workspace / f"picture-{number}.{ending}"
            # The confined code may have made a link of that name: O_EXCL never follows a link.
            try:
                descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
            except FileExistsError:
                continue
            with os.fdopen(descriptor, "wb") as file:
                file.write(picture)
                if os.geteuid() == 0:
                    os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            return path
        raise OSError(errno.EEXIST, "too many pictures")
