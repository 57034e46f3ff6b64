"""One Jupyter kernel, from its start to its end, and its messages as a few plain values.

The protocol is jupyter_client's; the process is ours, so that its status decides whether the kernel is alive.
Message formats: https://jupyter-client.readthedocs.io/en/stable/messaging.html
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import secrets
import shutil
import sys
import tempfile
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from queue import Empty
from typing import TYPE_CHECKING, Any

from ..excerpt import excerpt
from ..sandbox import Confinement, GuardedProgram, SharedFolder, launch
from ..sandbox.launch import NOBODY
from . import inside
from .start_log import StartLog

if TYPE_CHECKING:
    from jupyter_client.asynchronous import AsyncKernelClient

INSIDE = Path("/mnt/data")  # the place of the model's files, according to its prompt
OWN_ROOT = ("bubblewrap", "container")  # the sandboxes that can put them there
LARGEST_MESSAGE = 32 * 10**6  # bytes; a kernel that sends more is disconnected
START_LIMIT = 60.0  # seconds
# Two messages, on two sockets, end a cell; the second may be lost in a flood of output.
LAST_OUTPUT = 1.0


@dataclass(frozen=True, slots=True)
class Printed:
    """Text on one of the standard streams."""

    text: str


@dataclass(frozen=True, slots=True)
class Displayed:
    """A rich value by MIME type: the cell's last expression, or what it displayed."""

    data: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Raised:
    """The traceback of an exception that ended the cell."""

    traceback: str


@dataclass(frozen=True, slots=True)
class CellFinished:
    """The cell is finished; `leaving` if it asked the kernel to exit."""

    leaving: bool


@dataclass(frozen=True, slots=True)
class Died:
    """The kernel process ended, `how` in words."""

    how: str


KernelEvent = Printed | Displayed | Raised | CellFinished | Died


class KernelError(Exception):
    """The kernel could not be started; the message says why."""


class Kernel:
    """A running kernel, made by `start`; of no further use after `Died` or `kill`."""

    def __init__(
        self, program: GuardedProgram, client: AsyncKernelClient, folder: Path, log: StartLog
    ) -> None:
        self.folder = folder  # the workspace, as the code sees it
        self._program = program
        self._log = log
        self._client = client
        # Bounded, so that a flood waits in the sockets instead of in our memory.
        self._inbox: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue(maxsize=1000)
        self._request = ""
        self._idle = False
        self._leaving: bool | None = None  # known once the request is answered
        self._tasks = [
            asyncio.create_task(self._listen("iopub", client.iopub_channel)),
            asyncio.create_task(self._listen("shell", client.shell_channel)),
            asyncio.create_task(self._watch()),
        ]

    @classmethod
    async def start(
        cls, confinement: Confinement, workspace: Path, log: Path | None, *, writable: bool = True
    ) -> Kernel:
        """Start a kernel in that confinement, with `workspace` as its working folder, writable or not.

        Its complaints until it is ready go to the file `log`. Raises KernelError if it does not get ready.
        """
        folder = socket_folder()
        kind = confinement.kind
        try:
            client, connection = await asyncio.to_thread(_connect, folder)
            if kind != "none" and os.geteuid() == 0:
                os.chown(connection, NOBODY, NOBODY)
            program = [sys.executable, "-P", "-c", inspect.getsource(inside)]
            arguments = ["-f", str(connection), f"--ipython-dir={folder}"]
            cwd = INSIDE if kind in OWN_ROOT else workspace
            process = await launch(
                [*program, *arguments],
                kind,
                folders=[
                    SharedFolder(folder, folder, writable=True),
                    SharedFolder(workspace, cwd, writable=writable),
                ],
                cwd=cwd,
                stdout=PIPE,
                stderr=STDOUT,
                remove=folder,
                box=confinement.box,
            )
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        client.start_channels(stdin=False, hb=False)
        assert process.stdout is not None
        kernel = cls(process, client, cwd, StartLog(process.stdout, log))
        try:
            await asyncio.wait_for(kernel._ready(), START_LIMIT)
        except BaseException as error:
            await kernel.kill()
            if isinstance(error, TimeoutError):
                late = f"it was not ready within {START_LIMIT:.0f} s"
                raise KernelError(late + kernel._log.last()) from error
            raise
        kernel._log.close()
        return kernel

    @property
    def alive(self) -> bool:
        """Whether its process runs, by the process's own status."""
        return self._program.returncode is None

    def ending(self) -> str:
        """How its process ended, in words."""
        return self._program.ending()

    def execute(self, code: str) -> None:
        """Start a cell; its events follow from `next`, the last being CellFinished or Died."""
        self._idle, self._leaving = False, None
        self._request = self._client.execute(code, allow_stdin=False, store_history=True)

    async def next(self, patience: float) -> KernelEvent:
        """The next event of the running cell. Raises TimeoutError after `patience` seconds without one."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience
        while True:
            left = deadline - loop.time()
            if self._leaving is not None:
                left = min(left, LAST_OUTPUT)
            try:
                source, message = await asyncio.wait_for(self._inbox.get(), max(left, 0))
            except TimeoutError:
                if self._leaving is not None:
                    return CellFinished(self._leaving)
                raise
            if (event := self._read(source, message)) is not None:
                return event

    async def death(self, patience: float) -> Died:
        """The end of the process, which has been asked to leave; after `patience` seconds it is killed."""
        try:
            await asyncio.wait_for(self._program.wait(), patience)
        except TimeoutError:
            await self._program.stop()
        return Died(self._program.ending())

    async def interrupt(self) -> None:
        """Raise KeyboardInterrupt in the running cell; code that never returns to Python ignores it."""
        self._client.control_channel.send(self._client.session.msg("interrupt_request", {}))

    async def kill(self) -> None:
        """Kill the process, and everything that it started; its guard removes the sockets."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._program.stop()
        await self._log.ended(LAST_OUTPUT)
        self._client.stop_channels()
        self._client.context.destroy(linger=0)
        # A reader that still waits for the cell gets its end.
        with contextlib.suppress(asyncio.QueueFull):
            self._inbox.put_nowait(("exit", {"how": "stopped"}))

    async def _ready(self) -> None:
        """Wait until requests are answered and output arrives: the two sockets connect independently."""
        silent = {"iopub", "shell"}
        while silent:
            self._client.kernel_info()
            try:
                while silent:
                    source, message = await asyncio.wait_for(self._inbox.get(), 0.5 if len(silent) < 2 else 5)
                    if source == "exit":
                        await self._log.ended(LAST_OUTPUT)
                        raise KernelError(f"it ended at once, {message['how']}{self._log.last()}")
                    silent.discard(source)
            except TimeoutError:
                continue

    async def _listen(self, source: str, channel: Any) -> None:
        while True:
            try:
                message = await channel.get_msg()
            except Empty:
                continue  # a spurious wake-up, which ZeroMQ allows
            except (ValueError, LookupError, TypeError, AttributeError):
                continue  # not signed or malformed: confined code can use the socket, too
            await self._inbox.put((source, message))

    async def _watch(self) -> None:
        await self._program.wait()
        await asyncio.sleep(0.1)  # the last output is still on its way
        await self._inbox.put(("exit", {"how": self._program.ending()}))

    def _read(self, source: str, message: dict[str, Any]) -> KernelEvent | None:
        """The event in a message of the running cell, if there is one."""
        if source == "exit":
            return Died(message["how"])
        try:
            if message["parent_header"].get("msg_id") != self._request:
                return None
            return self._understand(message["header"]["msg_type"], message["content"])
        except (KeyError, TypeError, AttributeError):
            return None  # forged by the confined code

    def _understand(self, kind: str, content: dict[str, Any]) -> KernelEvent | None:
        match kind:
            case "stream":
                return Printed(excerpt(str(content["text"])))
            case "execute_result" | "display_data":
                return Displayed({str(mime): str(data) for mime, data in content["data"].items()})
            case "error":
                return Raised(excerpt("\n".join(map(str, content["traceback"]))))
            case "execute_reply":
                payload = content.get("payload", [])
                self._leaving = any(one.get("source") == "ask_exit" for one in payload)
            case "status":
                self._idle = content["execution_state"] == "idle"
        return CellFinished(self._leaving) if self._idle and self._leaving is not None else None


def socket_folder() -> Path:
    """A new private folder, so short that its sockets' paths stay below the 107 bytes of a Unix address."""
    places = [os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"]
    for place in places:
        if place and len(place) < 60 and os.access(place, os.W_OK):
            return Path(tempfile.mkdtemp(prefix="gptoss-", dir=place))
    raise KernelError(f"none of {', '.join(filter(None, places))} can hold its sockets")


def _connect(folder: Path) -> tuple[AsyncKernelClient, Path]:
    """A client and the connection file for a new kernel. Call it in a thread, for the import takes 0.3 s."""
    import zmq.asyncio
    from jupyter_client.asynchronous import AsyncKernelClient
    from jupyter_client.connect import write_connection_file

    path, connection = write_connection_file(
        str(folder / "connection.json"),
        transport="ipc",
        ip=str(folder / "s"),
        key=secrets.token_hex(32).encode(),
    )
    context = zmq.asyncio.Context()
    context.setsockopt(zmq.MAXMSGSIZE, LARGEST_MESSAGE)
    client = AsyncKernelClient(context=context)
    client.load_connection_info(connection)
    return client, Path(path)
