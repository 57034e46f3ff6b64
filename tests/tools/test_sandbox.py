"""The sandbox holds, the probe notices when it would not, and nothing outlives its owner."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest

from gptoss_tui.tools.sandbox import (
    Confinement,
    SandboxKind,
    SharedFolder,
    bubblewrap,
    landlock,
    launch,
    probe,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")
Until = Callable[[Callable[[], object]], Coroutine[Any, Any, None]]
PYTHON = (sys.executable, "-I", "-S", "-c")


async def finish(source: str, kind: SandboxKind, **options: Any) -> tuple[int | None, str]:
    """Exit status and output of `source` run by the launched interpreter."""
    pipe = asyncio.subprocess.PIPE
    program = await launch(
        [*PYTHON, source], kind, cwd=Path("/"), stdout=pipe, stderr=asyncio.subprocess.STDOUT, **options
    )
    assert program.stdout is not None
    output = (await program.stdout.read()).decode()
    await program.stop()
    return program.returncode, output


async def test_probe_finds_a_sandbox_that_holds(rung: Confinement) -> None:
    assert "no network" in rung.reason


@pytest.mark.parametrize(
    ("hole", "noticed"),
    [
        (["--share-net"], "the network can be reached"),
        (["--ro-bind", "/etc", "/etc"], "/etc/passwd can be read"),
        (["--tmpfs", "/etc"], "/etc can be written"),
        (["--cap-add", "CAP_NET_ADMIN"], "it holds capabilities"),
        (["--uid", "0"], "it runs as root"),
    ],
)
@pytest.mark.usefixtures("with_bubblewrap", "with_landlock")
async def test_probe_notices_a_hole(monkeypatch: pytest.MonkeyPatch, hole: list[str], noticed: str) -> None:
    tight = bubblewrap.command

    def leaky(program: Sequence[str], folders: Sequence[SharedFolder], cwd: Path) -> list[str]:
        words = tight(program, folders, cwd)
        last = words.index("--chdir")
        return [*words[:last], *hole, *words[last:]]

    monkeypatch.setattr(bubblewrap, "command", leaky)
    found = await probe(kinds=["bubblewrap"])
    assert not found.works
    assert found.kind == "none"
    assert noticed in found.reason
    assert (await probe()).kind == "landlock"


@pytest.mark.usefixtures("with_bubblewrap")
async def test_probe_notices_that_there_is_no_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    tight = bubblewrap.command

    def unfiltered(program: Sequence[str], folders: Sequence[SharedFolder], cwd: Path) -> list[str]:
        words = tight(program, folders, cwd)
        place = words.index("--seccomp")
        return [*words[:place], *words[place + 2 :]]

    monkeypatch.setattr(bubblewrap, "command", unfiltered)
    found = await probe(kinds=["bubblewrap"])
    assert "system calls are not filtered" in found.reason
    assert "io_uring is allowed" in found.reason


@pytest.mark.parametrize(
    ("name", "value", "noticed"),
    [
        ("SYSTEM", ("/",), "/etc/passwd can be read"),
        ("DEVICES_USED", (tempfile.gettempdir(),), "a folder of yours can be opened for writing"),
    ],
)
@pytest.mark.usefixtures("with_landlock")
async def test_probe_notices_a_hole_in_landlock(
    monkeypatch: pytest.MonkeyPatch, name: str, value: tuple[str, ...], noticed: str
) -> None:
    monkeypatch.setattr(landlock, name, value)
    found = await probe(kinds=["landlock"])
    assert not found.works
    assert noticed in found.reason


@pytest.mark.usefixtures("with_landlock")
async def test_probe_names_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = await probe()
    assert found.kind == "landlock"
    (failure,) = found.failures
    assert "bwrap" in failure.why
    assert failure.mend == "install bubblewrap and util-linux"


@pytest.mark.usefixtures("with_bubblewrap")
async def test_probe_tells_what_bubblewrap_complains_of(monkeypatch: pytest.MonkeyPatch) -> None:
    bwrap = shutil.which("bwrap")
    monkeypatch.setattr(bubblewrap, "command", lambda *_: [bwrap, "--no-such-option"])
    found = await probe(kinds=["bubblewrap"])
    assert not found.works
    assert "no-such-option" in found.reason


@pytest.mark.parametrize(
    ("source", "status"),
    [("raise SystemExit(7)", 7), ("import os; os.kill(os.getpid(), 11)", 128 + 11), ("", 0)],
)
async def test_exit_status_is_the_programs(kind: SandboxKind, source: str, status: int) -> None:
    assert (await finish(source, kind))[0] == status


@pytest.mark.usefixtures("with_bubblewrap")
async def test_only_the_standard_streams_are_inherited() -> None:
    ours = os.pipe()
    for descriptor in ours:
        os.set_inheritable(descriptor, True)
    _, seen = await finish("import os; print(sorted(map(int, os.listdir('/proc/self/fd'))))", "bubblewrap")
    for descriptor in ours:
        os.close(descriptor)
    assert seen.strip() in ("[0, 1, 2, 3]", "[0, 1, 2]")  # 3 is the listing itself


async def test_the_environment_stands_on_no_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", "hunter2")
    source = (
        "import os; print(os.environ['A_SECRET'], 'hunter2' in open(f'/proc/{os.getppid()}/cmdline').read())"
    )
    _, seen = await finish(source.replace("hunter2", "hunter' '2"), "none")
    assert seen.split() == ["hunter2", "False"]


@pytest.mark.usefixtures("with_bubblewrap")
async def test_other_processes_and_the_hosts_name_are_hidden() -> None:
    source = "import os; print(len([p for p in os.listdir('/proc') if p.isdigit()]), os.uname().nodename)"
    _, seen = await finish(source, "bubblewrap")
    processes, host = seen.split()
    assert int(processes) <= 3
    assert host == "sandbox"


@pytest.mark.usefixtures("with_bubblewrap")
async def test_no_further_namespace_can_be_made() -> None:
    _, seen = await finish("import ctypes; print(ctypes.CDLL(None).unshare(0x10000000))", "bubblewrap")
    assert seen.strip() == "-1"


@pytest.mark.usefixtures("with_bubblewrap")
async def test_lent_folders_are_as_writable_as_they_were_lent(tmp_path: Path) -> None:
    for name in ("kept", "open"):
        (tmp_path / name).mkdir()
    (tmp_path / "kept" / "text").write_text("seen")
    source = (
        "from pathlib import Path; print(Path('/kept/text').read_text()); Path('/open/new').write_text('x')\n"
        "try: Path('/kept/new').write_text('x')\nexcept OSError as error: print(error.strerror)"
    )
    folders = [
        SharedFolder(tmp_path / "kept", Path("/kept")),
        SharedFolder(tmp_path / "open", Path("/open"), writable=True),
    ]
    _, seen = await finish(source, "bubblewrap", folders=folders)
    assert seen.splitlines() == ["seen", "Read-only file system"]
    assert (tmp_path / "open" / "new").read_text() == "x"
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["text"]


async def test_folder_is_removed_when_the_program_ends(kind: SandboxKind, tmp_path: Path) -> None:
    folder = tmp_path / "sockets"
    folder.mkdir()
    (folder / "file").touch()
    await finish("", kind, remove=folder)
    assert not folder.exists()


OWNER = """
import asyncio, sys
from pathlib import Path
from gptoss_tui.tools.python import PythonTool
from gptoss_tui.tools.sandbox import probe

async def main():
    kind = sys.argv[2]
    confinement = None if kind == "none" else await probe(kinds=[kind])
    tool = PythonTool(Path(sys.argv[1]), bypass=kind == "none", confinement=confinement)
    await tool.start()
    code = "import pathlib, subprocess, time; subprocess.Popen(['sleep', '100']); print('busy')\\n"
    code += "while not pathlib.Path('seen').exists(): time.sleep(0.01)\\nsum(range(10**12))"
    async for output in tool.call(code):
        Path(sys.argv[1], "seen").touch()
        print(output.text, flush=True)

asyncio.run(main())
"""


async def test_nothing_outlives_an_owner_that_is_killed(
    kind: SandboxKind,
    tmp_path: Path,
    alive: Callable[[int], bool],
    family: Callable[[int], list[int]],
    until: Until,
) -> None:
    # The cell holds the interpreter in C code, where nothing but a kill reaches it.
    arguments = ["-c", OWNER, str(tmp_path / "files"), kind]
    owner = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
    assert owner.stdout is not None
    assert (await owner.stdout.readline()).strip() == b"busy"
    _, *started = family(owner.pid)
    assert len(started) >= 3  # the warden, the kernel, its child
    owner.kill()
    await owner.wait()
    await until(lambda: not [pid for pid in started if alive(pid)])
