"""The python tool on real kernels in the real sandbox."""

from __future__ import annotations

import asyncio
import base64
import gc
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gptoss_tui.tools import Reach
from gptoss_tui.tools.python import PythonTool
from gptoss_tui.tools.sandbox import Confinement, bubblewrap
from gptoss_tui.tools.sandbox.view import environment

Run = Callable[[PythonTool, str], Coroutine[Any, Any, Any]]
Until = Callable[[Callable[[], object]], Coroutine[Any, Any, None]]
pytestmark = pytest.mark.asyncio(loop_scope="module")

INSTALLED = tuple(os.path.realpath(prefix) for prefix in (sys.prefix, sys.base_prefix))

# A picture of one pixel.
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hasty(confinement: Confinement) -> AsyncIterator[PythonTool]:
    """A confined Python whose cells may take two seconds."""
    tool = PythonTool(confinement=confinement, time_limit=2.0)
    await tool.start()
    yield tool
    await tool.close()


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("417 * 38", "15846"),
        ("print(417 * 38)", "15846\n"),
        ("print('a', end='')\n'b'", "a\n'b'"),
        ("'quiet';", "[No output. Use print(...), or end the code with an expression, to see a value.]"),
        ("import sys; print('warned', file=sys.stderr)", "warned\n"),
        ("for n in range(3): print(f'{n} %', end='\\r')\nprint()", "2 %\n"),
        ("print('\\x1b[31mred\\x1b[0m')", "red\n"),
        ("!echo from a shell", "from a shell\n"),
        ("from IPython.display import HTML; HTML('<b>x</b>')", "[text/html, 8 characters, not shown]"),
        ("{1: 'ä', 2: '漢'}", "{1: 'ä', 2: '漢'}"),
        # What a table of pandas is: two forms, of which the model reads the plain one.
        ("display({'text/html': '<table>…</table>', 'text/plain': '   a\\n0  1'}, raw=True)", "   a\n0  1"),
    ],
)
async def test_output_is_what_a_notebook_shows(python: PythonTool, run: Run, code: str, told: str) -> None:
    answer = await run(python, code)
    assert answer.text == told
    assert not answer.is_error


async def test_state_lasts_from_call_to_call(python: PythonTool, run: Run) -> None:
    await run(python, "import math\ndef area(r): return round(math.pi * r * r, 3)")
    assert (await run(python, "area(2)")).text == "12.566"


async def test_output_streams_while_the_cell_runs(python: PythonTool, files: Path) -> None:
    # The cell goes on only when what it printed was seen.
    code = "import pathlib, time\nprint('first')\nwhile not pathlib.Path('seen').exists(): time.sleep(0.01)\n"
    told = ""
    async for output in python.call(code + "print('last')"):
        told += output.text
        (files / "seen").touch()
    assert told == "first\nlast\n"


async def test_an_error_is_told_with_the_line_that_raised_it(python: PythonTool, run: Run) -> None:
    answer = await run(python, "def half(n):\n    return n / 0\nhalf(3)")
    assert answer.is_error
    assert answer.text.startswith("Traceback")
    assert "return n / 0" in answer.text
    assert answer.text.endswith("ZeroDivisionError: division by zero\n")
    assert "\x1b" not in answer.text


async def test_a_syntax_error_is_told(python: PythonTool, run: Run) -> None:
    answer = await run(python, "if True print(1)")
    assert answer.is_error
    assert "SyntaxError" in answer.text


async def test_input_is_refused(python: PythonTool, run: Run) -> None:
    answer = await run(python, "input('your name: ')")
    assert answer.is_error
    assert "does not support input" in answer.text


async def test_a_long_value_is_cut_in_the_middle(python: PythonTool, run: Run) -> None:
    answer = await run(python, "'a' * 5_000_000 + 'b' * 5_000_000")
    assert len(answer.text) < 110_000
    assert answer.text.startswith("'aaa")
    assert answer.text.endswith("bbb'")
    assert "characters left out" in answer.text


async def test_a_flood_is_stopped_and_state_kept(python: PythonTool, run: Run) -> None:
    await run(python, "before = 1")
    answer = await run(python, "while True: print('y' * 1000)")
    assert answer.is_error
    assert len(answer.text) < 110_000
    assert "[ERROR] Stopped because it printed too much" in answer.text
    assert (await run(python, "before")).text == "1"


async def test_a_flood_of_small_messages_leaves_the_loop_alive(python: PythonTool, run: Run) -> None:
    async def longest_burst() -> float:
        # Processor time of this thread, so that a busy machine does not count.
        longest = 0.0
        while not cell.done():
            before = time.thread_time()
            await asyncio.sleep(0)
            longest = max(longest, time.thread_time() - before)
        return longest

    code = "import sys, time\nend = time.time() + 1\nwhile time.time() < end: print('y', flush=True)"
    cell = asyncio.create_task(run(python, code))
    gc.freeze()  # what other tests have left in this process is no part of the loop
    try:
        assert await longest_burst() < 0.25
    finally:
        gc.unfreeze()
    assert not cell.result().is_error


@pytest.mark.usefixtures("with_bubblewrap")
async def test_files_are_shared_at_the_promised_place(python: PythonTool, run: Run, files: Path) -> None:
    (files / "given.txt").write_text("from outside")
    assert (await run(python, "print(open('/mnt/data/given.txt').read())")).text == "from outside\n"
    assert (
        await run(python, "import os; open('made.txt', 'w').write('x'); os.getcwd()")
    ).text == "'/mnt/data'"
    assert (files / "made.txt").read_text() == "x"


async def test_a_picture_is_saved_and_named(python: PythonTool, run: Run, files: Path) -> None:
    code = f"from IPython.display import Image, display; display(Image(data={PNG!r})); print('shown')"
    answer = await run(python, code)
    assert answer.text == f"[image/png, {len(PNG)} bytes, saved as picture-1.png]\nshown\n"
    assert (files / "picture-1.png").read_bytes() == PNG
    assert answer.files == (files / "picture-1.png",)


async def test_a_picture_does_not_follow_a_link_out(
    python: PythonTool, run: Run, files: Path, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    await run(python, f"import os\nfor n in range(1, 9): os.symlink({str(victim)!r}, f'picture-{{n}}.gif')")
    answer = await run(python, f"display({{'image/gif': '{base64.b64encode(PNG).decode()}'}}, raw=True)")
    assert "picture-9.gif" in answer.text
    assert not victim.exists()
    assert (files / "picture-9.gif").read_bytes() == PNG


@pytest.mark.usefixtures("with_bubblewrap")
async def test_the_persons_files_are_not_there(python: PythonTool, run: Run, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("key")
    places = [str(secret), "/etc/shadow", "/etc/passwd", str(Path(__file__))]
    answer = await run(python, f"import os; [place for place in {places} if os.path.exists(place)]")
    assert answer.text == "[]"
    # The Python installation may lie in the home folder; nothing else of it is there.
    code = f"[name for place, _, files in os.walk({str(Path.home())!r}) "
    code += f"if not place.startswith({INSTALLED!r}) for name in files]"
    assert (await run(python, code)).text == "[]"


async def test_nothing_outside_the_workspace_can_be_written(python: PythonTool, run: Run) -> None:
    code = f"""
    import os
    written = []
    for folder in ("/", "/usr/lib", "/etc", "/dev", "/mnt", {sys.prefix!r}, {sys.base_prefix!r}):
        try:
            open(os.path.join(folder, "new"), "w")
            written.append(folder)
        except OSError:
            pass
    written"""
    assert (await run(python, code)).text == "[]"


@pytest.mark.usefixtures("with_bubblewrap")
async def test_the_network_is_out_of_reach(python: PythonTool, run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as canary:
        port = canary.getsockname()[1]
        answer = await run(python, f"import socket; socket.create_connection(('127.0.0.1', {port}), 2)")
        assert "ConnectionRefusedError" in answer.text
        answer = await run(python, "socket.create_connection(('192.0.2.1', 80), 2)")
        assert "Network is unreachable" in answer.text
        canary.settimeout(0)
        with pytest.raises(BlockingIOError):
            canary.accept()


@pytest.mark.usefixtures("with_bubblewrap")
async def test_it_is_an_ordinary_user_without_privileges(python: PythonTool, run: Run) -> None:
    code = """
    import os
    status = dict(line.split(":\\t") for line in open("/proc/self/status").read().splitlines())
    capabilities = {int(value, 16) for name, value in status.items() if name.startswith("Cap")}
    os.getuid() > 0, os.getgid() > 0, status["NoNewPrivs"], capabilities"""
    assert (await run(python, code)).text == "(True, True, '1', {0})"


async def test_the_environment_is_not_the_persons(python: PythonTool, run: Run) -> None:
    answer = await run(python, "sorted(open('/proc/self/environ').read().split('\\0'))")
    names = {entry.partition("=")[0] for entry in eval(answer.text)} - {"", "PWD"}
    assert names == set(environment())


async def test_a_fork_bomb_is_bounded(python: PythonTool, run: Run) -> None:
    code = """
    import subprocess
    children = []
    try:
        while True:
            children.append(subprocess.Popen(["sleep", "100"]))
    except OSError as error:
        print(error.strerror)
    for child in children:
        child.kill(), child.wait()
    len(children)"""
    error, count = (await run(python, code)).text.splitlines()
    assert error == "Resource temporarily unavailable"
    assert int(count) < 256


async def test_memory_is_bounded(python: PythonTool, run: Run) -> None:
    assert "MemoryError" in (await run(python, "x = bytearray(6 * 10**9)")).text


async def test_a_closed_call_stops_and_state_is_kept(python: PythonTool, run: Run) -> None:
    outputs = python.call("kept = 5\nprint('on', flush=True)\nimport time\ntime.sleep(60)\nkept = 6")
    first = await anext(aiter(outputs))
    assert first.text == "on\n"
    await outputs.aclose()
    assert (await run(python, "kept")).text == "5"


async def test_a_cancelled_task_stops_the_call(
    python: PythonTool, run: Run, files: Path, until: Until
) -> None:
    code = "import time\nsteps = 0\nwhile True:\n    time.sleep(0.01)\n    steps += 1\n    open('steps', 'w')"
    task = asyncio.create_task(run(python, code))
    await until((files / "steps").exists)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert int((await run(python, "steps")).text) > 0


async def test_a_cell_that_takes_too_long_is_interrupted(hasty: PythonTool, run: Run) -> None:
    await run(hasty, "kept = 7")
    answer = await run(hasty, "print('so far')\nwhile True: pass")
    assert answer.is_error
    assert answer.text.startswith("so far\n")
    assert answer.text.endswith("[ERROR] Timed out after 2 s and was interrupted. Variables are kept.")
    assert (await run(hasty, "kept")).text == "7"


async def test_a_cell_that_cannot_be_interrupted_costs_the_state(hasty: PythonTool, run: Run) -> None:
    await run(hasty, "kept = 7")
    answer = await run(hasty, "sum(range(10**12))")
    assert answer.is_error
    assert "[ERROR] Timed out after 2 s" in answer.text
    assert "All variables are lost" in answer.text
    assert "NameError" in (await run(hasty, "kept")).text


@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("import os; os._exit(7)", "exit status 7"),
        ("import ctypes; ctypes.string_at(0)", "killed by SIGSEGV"),
        ("import os; os.kill(os.getpid(), 9)", "killed by SIGKILL"),
        ("exit()", "exit status 0"),
    ],
)
async def test_death_is_noticed_and_the_next_call_runs(
    hasty: PythonTool, run: Run, code: str, how: str
) -> None:
    answer = await run(hasty, code)
    assert answer.is_error
    assert f"[ERROR] The Python process ended ({how})" in answer.text
    assert (await run(hasty, "1 + 1")).text == "2"


async def test_closing_ends_a_running_call(confinement: Confinement) -> None:
    tool = PythonTool(confinement=confinement)
    outputs = aiter(tool.call("import time; print('on', flush=True); time.sleep(600)"))
    assert (await anext(outputs)).text == "on\n"
    await tool.close()
    assert [output.is_error async for output in outputs][-1]


def children() -> set[int]:
    """The processes that this one has started and not yet taken leave of."""
    tasks = Path("/proc/self/task").glob("*/children")
    return {int(child) for task in tasks for child in task.read_text().split()}


async def test_death_between_calls_is_told(hasty: PythonTool, run: Run, until: Until) -> None:
    # It dies after the call, when it is told to.
    code = "import os, pathlib, threading, time\ndef die():\n"
    code += "    while not pathlib.Path('go').exists(): time.sleep(0.01)\n    os._exit(3)\n"
    await run(hasty, code + "threading.Thread(target=die).start()")
    before = children()
    (hasty.workspace / "go").touch()
    await until(lambda: before - children())
    await asyncio.sleep(0.1)  # until the loop has heard of it too
    answer = await run(hasty, "1 + 1")
    told = "[Python had ended (exit status 3) and was started anew: earlier variables are lost.]"
    assert answer.text == f"{told}\n2"


@pytest.mark.usefixtures("with_bubblewrap")
async def test_a_kernel_that_does_not_start_is_an_answer(
    confinement: Confinement, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = PythonTool(confinement=confinement)
    with monkeypatch.context() as patch:
        patch.setattr(bubblewrap, "command", lambda *_: ["/no/such/bwrap"])
        await tool.start()
        answer = await run(tool, "1")
    assert answer.is_error
    assert answer.text.startswith("[ERROR] Python could not be started")
    assert (await run(tool, "1")).text == "1"
    await tool.close()


async def test_without_a_sandbox_it_is_off_and_says_so(run: Run) -> None:
    tool = PythonTool(confinement=Confinement("none", "No sandbox: bwrap not found."))
    await tool.start()
    assert await tool.objection("1") == "[ERROR] Python is off. No sandbox: bwrap not found."
    assert "no sandbox holds" in tool.where
    assert "Python is off" in tool.notice
    assert "gptoss-chat doctor" in tool.notice
    answer = await run(tool, "1")
    assert answer.is_error
    assert answer.text == await tool.objection("1")
    await tool.close()


async def test_full_access_asks_for_every_cell(run: Run, tmp_path: Path) -> None:
    tool = PythonTool(tmp_path, mode="danger-full-access")
    await tool.start()
    assert tool.risk("1").reach is Reach.UNCONFINED
    assert await tool.objection("1") is None
    assert tool.where == f"on this machine{' as root' if os.geteuid() == 0 else ''}, unconfined"
    assert (await run(tool, "import os; os.getcwd()")).text == repr(str(tmp_path))
    await tool.close()


async def test_it_says_where_it_runs_once_that_is_known(confinement: Confinement) -> None:
    tool = PythonTool()
    assert "not tried yet" in tool.where
    await tool.start()
    assert tool.risk("1").reach is Reach.BOUNDED
    assert tool.where == {"bubblewrap": "in a sandbox", "landlock": "in a reduced sandbox"}[confinement.kind]
    await tool.close()


async def test_bypassing_never_asks() -> None:
    tool = PythonTool(bypass=True)
    assert tool.risk("1").reach is Reach.BOUNDED
    assert "unconfined" in tool.where


async def test_read_only_means_that_no_file_is_kept(rung: Confinement, run: Run, tmp_path: Path) -> None:
    (tmp_path / "given").write_text("from outside")
    tool = PythonTool(tmp_path, mode="read-only", confinement=rung)
    assert (await run(tool, "print(open('given').read())")).text == "from outside\n"
    assert (await run(tool, "open('new', 'w')")).is_error
    assert (await run(tool, "open('given', 'a')")).is_error
    code = "import tempfile; file = tempfile.TemporaryFile(); file.write(b'x'); file.tell()"
    assert (await run(tool, code)).text == "1"
    await tool.close()
    assert [path.name for path in tmp_path.iterdir()] == ["given"]


async def test_each_sandbox_runs_what_a_notebook_runs(confined: PythonTool, run: Run) -> None:
    assert (await run(confined, "!echo from a shell")).text.strip() == "from a shell"
    assert (await run(confined, "%%bash\necho from bash")).text.strip() == "from bash"
    code = (
        "import subprocess; subprocess.run(['echo', 'from a child'], capture_output=True, text=True).stdout"
    )
    assert (await run(confined, code)).text == r"'from a child\n'"
    code = "import shutil, pathlib; pathlib.Path('a').touch(); shutil.copy2('a', 'b'); open('b').read()"
    assert (await run(confined, code)).text == "''"
    code = "import asyncio; process = await asyncio.create_subprocess_exec('true'); await process.wait()"
    assert (await run(confined, code)).text == "0"
    code = "import sqlite3; sqlite3.connect('base').execute('create table t (a)').rowcount"
    assert (await run(confined, code)).text == "-1"


async def test_the_promised_folder_is_there_or_its_place_is_told(confined: PythonTool, run: Run) -> None:
    await run(confined, "open('kept', 'w').write('x')")
    answer = await run(confined, "open('/mnt/data/kept').read()")
    assert answer.text == "'x'" or answer.text.startswith("[There is no /mnt/data here; files are kept in")
    assert (await run(confined, "open('kept').read()")).text == "'x'"


async def test_closing_removes_what_was_made_and_allows_a_new_start(
    confinement: Confinement, run: Run
) -> None:
    tool = PythonTool(confinement=confinement)
    assert (await run(tool, "x = 1; x")).text == "1"
    first = tool.workspace
    await tool.close()
    assert not first.exists()
    assert "NameError" in (await run(tool, "x")).text
    await tool.close()


@pytest.mark.usefixtures("with_bubblewrap")
async def test_the_files_of_a_conversation_outlive_the_kernel(
    confinement: Confinement, run: Run, tmp_path: Path
) -> None:
    tool = PythonTool(confinement=confinement)
    tool.keep(tmp_path / "a" / "first")
    assert not (await run(tool, "open('note.txt', 'w').write('kept')")).is_error
    await tool.close()
    assert (tmp_path / "a" / "first" / "note.txt").read_text() == "kept"

    tool.keep(tmp_path / "a" / "second")
    assert "FileNotFoundError" in (await run(tool, "open('note.txt').read()")).text
    await tool.close()
    assert not (tmp_path / "a" / "second").exists(), "an empty folder is not left behind"

    tool.keep(tmp_path / "a" / "first")
    assert (await run(tool, "open('/mnt/data/note.txt').read()")).text == "'kept'"
    await tool.close()
