"""Python stays on wherever it is installed in the home folder, and the rest of that folder stays invisible.

Run as an ordinary user, from environments made for it: `root` becomes one.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gptoss_tui
from gptoss_tui.tools.python import PythonTool
from gptoss_tui.tools.sandbox import Confinement, probe, view
from gptoss_tui.tools.sandbox.launch import closed_to_others

Run = Callable[[PythonTool, str], Coroutine[Any, Any, Any]]
in_the_loop = pytest.mark.asyncio(loop_scope="module")

SOURCE = Path(gptoss_tui.__file__).parents[1]
BASE = Path(sys.base_prefix)
ORDINARY = 54321  # a uid that nobody has

# Files in every home folder here that code must not see.
SECRETS = (".bashrc", ".config/token", ".local/share/mail/inbox", ".ssh/id_ed25519", "notes/diary", "todo")
BESIDE = ("beside/.env", ".local/share/pipx/venvs/other/pyvenv.cfg", "project/.env", ".envs/two/pyvenv.cfg")

SCRIPT = """
import asyncio, json, sys
from pathlib import Path
from gptoss_tui.tools.python import PythonTool
from gptoss_tui.tools.sandbox import probe

async def main():
    found = await probe(kinds=[sys.argv[1]])
    tool = PythonTool(confinement=found, log=Path.home() / ".local/state/python.log")
    outputs = [output.text async for output in tool.call(sys.argv[2])]
    await tool.close()
    print(json.dumps([found.kind, tool.notice, "".join(outputs)]))

asyncio.run(main())
"""

# Mounts are of our own; `pairs` and `cover` are as the warden's `expose` wants them.
BECOME = """
import json, os, sys
from gptoss_tui.tools.sandbox import warden

pairs, cover, user, *command = sys.argv[1:]
if json.loads(cover):
    warden.expose(json.loads(pairs), json.loads(cover))
warden.become(int(user))
os.execv(command[0], command)
"""

LOOK = """
import json, os, sys

def readable(path):
    try:
        return bool(open(path, "rb").read(1))
    except OSError:
        return False

def writable(folder):
    try:
        open(os.path.join(folder, "new"), "w").close()
    except OSError:
        return False
    return True

seen = [path for path in SECRETS if readable(os.path.join(HOME, path))]
walked = [os.path.join(place, name) for place, _, names in os.walk(HOME) for name in names]
walked = [path for path in walked if not path.startswith(LENT) and readable(path)]
written = [place for place in (sys.prefix, sys.prefix + "/lib", sys.base_prefix + "/bin") if writable(place)]
print(json.dumps([sys.prefix, seen, walked, written]))
"""


@dataclass(frozen=True, slots=True)
class Person:
    """An ordinary user, with a home folder that nobody else can open."""

    home: Path

    def lay(self, *paths: str, content: str = "secret") -> None:
        """Files in the home folder."""
        for path in paths:
            file = self.home / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
            file.chmod(0o600)
        self._own()

    def _own(self) -> None:
        if os.geteuid() != 0:
            return
        # Not the environment's files: they may be links to those that the tests run from.
        for place, folders, files in os.walk(self.home):
            for name in ("", *folders, *(name for name in files if not self._is_shared(Path(place, name)))):
                os.chown(Path(place, name), ORDINARY, ORDINARY, follow_symlinks=False)

    @staticmethod
    def _is_shared(file: Path) -> bool:
        return file.lstat().st_nlink > 1

    async def asks(self, python: Path, kind: str, code: str) -> tuple[str, str, str]:
        """The kind of sandbox, the notice for the person, and the output of `code` in `python`'s program."""
        self._own()
        command = [str(python), "-c", SCRIPT, kind, code]
        if os.geteuid() == 0:
            needed = [SOURCE, BASE.resolve(), Path(sys.executable).parents[1]]
            cover = sorted({str(folder) for place in needed for folder in closed_to_others(place)})
            pairs = [(str(place), str(place)) for place in needed] if cover else []
            become = [sys.executable, "-c", BECOME, json.dumps(pairs), json.dumps(cover), str(ORDINARY)]
            command = [*become, *command]
        process = await asyncio.create_subprocess_exec(
            *command,
            env={"PATH": os.environ["PATH"], "HOME": str(self.home), "PYTHONPATH": str(SOURCE)},
            cwd="/",
            stdout=subprocess.PIPE,
        )
        said, _ = await process.communicate()
        kind, notice, answer = json.loads(said)
        return kind, notice, answer


@pytest.fixture
def person() -> Iterator[Person]:
    # Not in pytest's folder, which is closed to other users.
    home = Path(tempfile.mkdtemp(prefix="home-")).resolve()
    yield Person(home)
    shutil.rmtree(home)


# Large packages that a kernel starts without.
DISPENSABLE = ("debugpy", "jedi", "parso", "tzdata")


def requirements(*names: str) -> dict[str, importlib.metadata.Distribution]:
    """The installed packages that these need, and they themselves."""
    found: dict[str, importlib.metadata.Distribution] = {}
    wanted = list(names)
    while wanted:
        name = re.sub(r"[-_.]+", "-", wanted.pop()).lower()
        if name in found or name in DISPENSABLE:
            continue
        try:
            found[name] = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # wanted on other systems only
        needs = [need for need in found[name].requires or [] if "extra ==" not in need]
        wanted += [match[0] for need in needs if (match := re.match(r"[\w.-]+", need))]
    return found


@pytest.fixture(scope="module")
def stock() -> Iterator[Path]:
    """A virtual environment that holds what a kernel needs, to be copied by links."""
    with tempfile.TemporaryDirectory(prefix="stock-") as folder:
        place = Path(folder, "environment")
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
        site = place / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
        for package in requirements("ipykernel").values():
            for file in package.files or []:
                source = Path(str(package.locate_file(file)))
                if ".." not in file.parts and source.is_file():
                    (site / file).parent.mkdir(parents=True, exist_ok=True)
                    link(source, site / file)
        yield place


def link(source: str | Path, target: str | Path) -> None:
    """Make `target` the same file as `source`, as cheaply as possible."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def settle(stock: Path, place: Path) -> Path:
    """The environment at that place; its interpreter."""
    shutil.copytree(stock, place, symlinks=True, copy_function=link, dirs_exist_ok=True)
    return place / "bin" / "python"


def in_home(stock: Path, home: Path) -> Path:
    return settle(stock, home / "venv")


def of_pipx(stock: Path, home: Path) -> Path:
    return settle(stock, home / ".local/share/pipx/venvs/gptoss-chat")


def in_a_project_itself(stock: Path, home: Path) -> Path:
    return settle(stock, home / "project")


def behind_a_link(stock: Path, home: Path) -> Path:
    python = settle(stock, home / ".envs" / "one")
    (home / "env").symlink_to(home / ".envs" / "one")
    return home / "env" / python.relative_to(home / ".envs" / "one")


def of_a_python_in_home(stock: Path, home: Path) -> Path:
    """As uv does it: a Python in the home folder under a name that is a link, and a project's `.venv`."""
    python = settle(stock, home / "project" / ".venv")
    pythons = home / ".local/share/uv/python"
    pythons.mkdir(parents=True)
    (pythons / "cpython").symlink_to(BASE.resolve())
    (pythons / "cpython-link").symlink_to("cpython")
    return based(python, pythons / "cpython-link" / "bin")


def of_a_link_in_home(stock: Path, home: Path) -> Path:
    """Its `home =` is a folder of links, with no installation around it."""
    python = settle(stock, home / ".venv")
    (home / "bin").mkdir()
    name = Path(os.path.realpath(python)).name
    (home / "bin" / name).symlink_to(BASE.resolve() / "bin" / name)
    return based(python, home / "bin")


def based(python: Path, folder: Path) -> Path:
    """The interpreter `python` of an environment, once that is based on the one in `folder`."""
    name = Path(os.path.realpath(python)).name
    python.unlink()
    python.symlink_to(folder / name)
    config = python.parents[1] / "pyvenv.cfg"
    lines = [line for line in config.read_text().splitlines() if not line.startswith("home")]
    config.unlink()  # it may be a link to the others' own
    config.write_text("\n".join([f"home = {folder}", *lines, ""]))
    return python


LAYOUTS = (in_home, of_pipx, in_a_project_itself, behind_a_link, of_a_python_in_home, of_a_link_in_home)


@in_the_loop
@pytest.mark.parametrize("layout", LAYOUTS)
async def test_python_in_the_home_folder_is_lent_and_nothing_beside_it(
    rung: Confinement, person: Person, stock: Path, layout: Callable[[Path, Path], Path]
) -> None:
    python = layout(stock, person.home)
    person.lay(*SECRETS, *BESIDE)
    own = {python.parents[1], Path(os.path.realpath(python.parents[1]))}
    parts = ("bin", "etc", "include", "lib", "pyvenv.cfg", "share")
    lent = [str(place / part) for place in own for part in parts]
    if layout in (of_a_python_in_home, of_a_link_in_home):
        lent += [str(person.home / ".local/share/uv/python"), str(person.home / "bin")]
    known = {"HOME": str(person.home), "SECRETS": (*SECRETS, *BESIDE), "LENT": tuple(lent)}
    code = "".join(f"{name} = {value!r}\n" for name, value in known.items()) + LOOK
    kind, notice, answer = await person.asks(python, rung.kind, code)
    assert (kind, notice) == (rung.kind, ""), answer
    assert json.loads(answer) == [str(python.parents[1]), [], [], []]


@in_the_loop
async def test_an_environment_that_is_the_home_folder_is_not_lent_and_that_is_told(
    rung: Confinement, person: Person, stock: Path
) -> None:
    python = settle(stock, person.home)
    person.lay(*SECRETS)
    kind, notice, answer = await person.asks(python, rung.kind, "1")
    assert kind == "none"
    for said in (notice, answer):
        assert f"home folder itself ({person.home})" in said
        assert "install gptoss-chat into an environment in a folder of its own" in said
        assert "python3 -m venv" in said


# The tests' own environment and the Python that it is based on, each straight in a home folder.
@in_the_loop
@pytest.mark.parametrize("place", [Path(sys.prefix), BASE])
async def test_the_running_python_may_lie_straight_in_the_home_folder(
    rung: Confinement, run: Run, monkeypatch: pytest.MonkeyPatch, place: Path
) -> None:
    monkeypatch.setenv("HOME", str(place.parent))
    found = await probe(kinds=[rung.kind])
    assert found.kind == rung.kind, found.reason
    tool = PythonTool(confinement=found)
    beside = [str(entry) for entry in place.parent.iterdir() if entry.is_file()]
    code = "def readable(path):\n    try:\n        return bool(open(path).read(1))\n    except OSError:\n"
    code += f"        return False\n[path for path in {beside!r} if readable(path)]"
    assert (await run(tool, code)).text == "[]"
    await tool.close()


async def test_a_home_folder_that_code_sees_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/usr/games")
    found = await probe()
    assert not found.works
    assert "/usr/games, lies in /usr, which code sees" in found.reason


NAMES = st.sampled_from(["a", "b", "bin", "lib", "share", ".local", ".config", "envs", "python"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)


@given(files=st.sets(PATHS, max_size=8), prefix=PATHS, base=PATHS)
def test_every_file_at_home_is_either_lent_or_looked_for(files: set[str], prefix: str, base: str) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        home = Path(folder).resolve()
        for name in (f"{prefix}/bin", f"{prefix}/lib", f"{base}/lib"):
            (home / name).mkdir(parents=True, exist_ok=True)
        for name in files:
            with contextlib.suppress(OSError):  # another is in its way
                (home / name).parent.mkdir(parents=True, exist_ok=True)
                (home / name).write_text("secret")
        patch.setenv("HOME", str(home))
        patch.setattr(sys, "prefix", str(home / prefix))
        patch.setattr(sys, "base_prefix", str(home / base))
        lent = [folder.source for folder in view.interpreter()]
        wanted = [Path(place) for place in view.secrets_at_home()]
        for file in home.rglob("*"):
            if file.is_file():
                is_lent = any(file.is_relative_to(place) for place in lent)
                assert is_lent != any(file.is_relative_to(place) for place in wanted), file
        # Nothing is lent but what belongs to an installation, and the person's data never.
        roots = [home / prefix / name for name in view.INSTALLATION]
        roots += [home / base / name for name in view.INSTALLATION]
        for place in lent:
            assert place in roots or not place.is_relative_to(home)
            assert not Path(home, ".local/share").is_relative_to(place)


DESCRIPTORS = """
import json, os, stat

def processes():
    try:
        return [name for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return ["self", *map(str, range(1, 20))]

own = [os.path.realpath(place) for place in (".", "/tmp", os.environ["TMPDIR"])]
found, said = [], ""
for process in processes():
    try:
        numbers = os.listdir(f"/proc/{process}/fd")
    except OSError:
        continue
    for number in numbers:
        path = f"/proc/{process}/fd/{number}"
        try:
            mode = os.stat(path).st_mode
            where = os.readlink(path)
        except OSError:
            continue  # the listing's own
        if (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) and not where.startswith(tuple(own)):
            found.append((process, number, where))
        if stat.S_ISSOCK(mode) or not where.startswith(("/", "pipe")):
            continue
        for how in (os.O_RDONLY, os.O_RDWR, os.O_WRONLY):
            try:
                descriptor = os.open(path, how | os.O_NONBLOCK)
            except OSError:
                continue
            for attempt in (
                lambda: os.read(descriptor, 1000).decode(errors="replace"),
                lambda: os.write(descriptor, b"forged") and "" if stat.S_ISREG(mode) else "",
                lambda: os.fchmod(descriptor, 0o666) or "" if stat.S_ISREG(mode) else "",
                lambda: os.ftruncate(descriptor, 0) or "" if stat.S_ISREG(mode) else "",
            ):
                try:
                    said += attempt()
                except OSError:
                    pass
            os.close(descriptor)
print(json.dumps([found, "earlier" in said]))
"""


@in_the_loop
async def test_an_ordinary_users_log_is_out_of_reach(rung: Confinement, person: Person, stock: Path) -> None:
    python = in_home(stock, person.home)
    person.lay(".local/state/python.log", content="an earlier conversation\n")
    log = person.home / ".local/state/python.log"
    kind, _, answer = await person.asks(python, rung.kind, DESCRIPTORS)
    assert kind == rung.kind
    assert json.loads(answer) == [[], False]
    assert log.read_text().startswith("an earlier conversation\n")
    assert "forged" not in log.read_text()
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
