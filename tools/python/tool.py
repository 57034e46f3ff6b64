"""The python tool: one kernel for a conversation, confined by a sandbox, replaced when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Literal

from ..sandbox import Confinement, probe
from ..tool import Output, Reach, Risk, Tool
from .cell import Cell
from .kernel import INSIDE, Kernel, KernelError

TIME_LIMIT = 120.0  # seconds; the model is told so in its prompt

Mode = Literal["read-only", "workspace-write", "danger-full-access"]
"""The writable places of a cell: temporary files alone; the workspace as well; everywhere the person may."""

PLACES = {
    "bubblewrap": "in a sandbox",
    "landlock": "in a reduced sandbox",
    "container": "in a container",
}


class PythonTool(Tool):
    """A stateful Python of the model's own, one per conversation.

    It is confined in every `mode` but "danger-full-access": where no sandbox holds, it is off, and tells the
    model so. Unconfined, every cell needs consent, unless `bypass` turns off the sandbox and the consent.
    `container` names an image to run in, where that is possible. Files lie in the workspace, a folder of this
    machine that the sandbox shows as /mnt/data: the given `workspace`, or the conversation's (see
    `Tool.keep`), or else one that is removed on `close`. Complaints of the kernel process while it starts go
    to the file `log`.
    """

    name = "python"
    description = "Runs Python code in a Jupyter notebook that keeps its state between calls."

    def __init__(
        self,
        workspace: Path | None = None,
        *,
        mode: Mode = "workspace-write",
        container: str = "",
        confinement: Confinement | None = None,
        bypass: bool = False,
        time_limit: float = TIME_LIMIT,
        log: Path | None = None,
    ) -> None:
        self._mode: Mode = "danger-full-access" if bypass else mode
        if self._mode == "danger-full-access":
            confinement = Confinement("none", "Code runs unconfined, as you wished.")
        self._bypass = bypass
        self._container = container
        self.time_limit = time_limit
        self._given = workspace
        self._kept: Path | None = None
        self._workspace: Path | None = None
        self._log = log
        self._starting: asyncio.Task[Kernel] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._one_cell = asyncio.Lock()
        self._settle(confinement)

    def risk(self, arguments: str) -> Risk:
        """Bounded, for code runs in a sandbox or not at all, unless the person chose otherwise."""
        if self._mode == "danger-full-access" and not self._bypass:
            return Risk(Reach.UNCONFINED, "It runs with all your rights, in no sandbox.")
        return Risk(Reach.BOUNDED)

    async def objection(self, arguments: str) -> str | None:
        """The reason why Python is off, if it is."""
        return f"[ERROR] {self._off}" if self._off else None

    def keep(self, folder: Path) -> None:
        """Work in `folder`, unless a workspace was given; see `Tool.keep`."""
        self._kept = folder

    async def start(self) -> None:
        """Find out whether the sandbox holds (0.1 s), then start the kernel in the background."""
        if self.confinement is None:
            self._settle(await probe(self._container))
        if not self._off:
            self._kernel_soon()

    async def call(self, arguments: str) -> AsyncGenerator[Output, None]:
        """Run the cell `arguments`, streaming its output; see `Tool.call`."""
        await self.start()
        if objection := await self.objection(arguments):
            yield Output(objection, is_error=True)
            return
        async with self._one_cell:
            try:
                kernel, ended = await self._kernel()
            except (KernelError, OSError) as error:
                self._starting = None
                yield Output(f"[ERROR] Python could not be started: {error}.", is_error=True)
                return
            if ended:
                yield Output(
                    f"[Python had ended ({ended}) and was started anew: earlier variables are lost.]\n"
                )
            if str(INSIDE) in arguments and kernel.folder != INSIDE:
                yield Output(f"[There is no {INSIDE} here; files are kept in the current folder.]\n")
            cell = Cell(kernel, self.workspace, self.time_limit)
            try:
                async with contextlib.aclosing(cell.run(arguments)) as outputs:
                    async for output in outputs:
                        yield output
            finally:
                if cell.lost and self._starting is not None:  # None once closed
                    self._starting = None
                    self._kernel_soon()
                # Not awaited, so that cancelling does not take the whole grace; the next call waits instead.
                if cell.running:
                    self._stopping = asyncio.create_task(cell.stop())

    async def close(self) -> None:
        """End the kernel; remove the workspace if it is temporary or empty."""
        await self._stopped()
        if self._starting is not None:
            starting, self._starting = self._starting, None
            starting.cancel()
            (kernel,) = await asyncio.gather(starting, return_exceptions=True)
            if isinstance(kernel, Kernel):
                await kernel.kill()
        workspace, self._workspace = self._workspace, None
        if workspace is None or workspace == self._given:
            return
        if workspace == self._kept:
            with contextlib.suppress(OSError):  # it is not empty
                workspace.rmdir()
        else:
            await asyncio.to_thread(shutil.rmtree, workspace, ignore_errors=True)

    def _settle(self, confinement: Confinement | None) -> None:
        self.confinement = confinement
        whom = " as root" if os.geteuid() == 0 else ""
        self._off = self.notice = ""
        if self._mode == "danger-full-access":
            self.where = f"on this machine{whom}, unconfined"
        elif confinement is None:
            self.where = "in a sandbox, if one holds: not tried yet"
        elif confinement.works:
            self.where = PLACES[confinement.kind]
            if confinement.failures:
                self.notice = f"{confinement.reason} `gptoss-chat doctor` says why, and what it leaves open."
        else:
            self.where = "nowhere: no sandbox holds on this machine"
            self._off = f"Python is off. {confinement.reason}"
            self.notice = f"{self._off} `gptoss-chat doctor` says what would help."

    @property
    def workspace(self) -> Path:
        """The folder of this machine in which the code works; made when first needed."""
        if self._workspace is None:
            kept = self._kept if self._kept is not None and self._reaches(self._kept) else None
            self._workspace = self._given or kept or Path(tempfile.mkdtemp(prefix="gptoss-files-"))
        self._workspace.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self._workspace

    def _reaches(self, folder: Path) -> bool:
        """Whether the program, which is "nobody" when root starts it, can reach `folder` in this sandbox."""
        if os.geteuid() != 0 or self.confinement is None or self.confinement.kind != "landlock":
            return True
        return all(parent.stat().st_mode & stat.S_IXOTH for parent in folder.parents if parent.exists())

    def _kernel_soon(self) -> asyncio.Task[Kernel]:
        if self._starting is None:
            self._starting = asyncio.create_task(self._new_kernel())
            # The call that needs the kernel reports a failure; until then it does not matter.
            self._starting.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._starting

    async def _new_kernel(self) -> Kernel:
        assert self.confinement is not None
        writable = self._mode != "read-only"
        return await Kernel.start(self.confinement, self.workspace, self._log, writable=writable)

    async def _kernel(self) -> tuple[Kernel, str]:
        """The idle kernel, and the end of an earlier one in words, if it ended between two calls."""
        await self._stopped()
        await self.start()
        ended = ""
        while True:
            starting = self._kernel_soon()
            try:
                # After a cancelled call the kernel goes on starting, for the next one.
                kernel = await asyncio.shield(starting)
            except asyncio.CancelledError:
                if starting.cancelled() and self._starting is not starting:
                    raise KernelError("it was closed meanwhile") from None
                raise
            if kernel.alive:
                return kernel, ended
            await kernel.kill()
            self._starting, ended = None, kernel.ending()

    async def _stopped(self) -> None:
        """Wait until an abandoned cell has ended, by itself or killed."""
        if self._stopping is not None:
            stopping, self._stopping = self._stopping, None
            await stopping
