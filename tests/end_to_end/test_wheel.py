"""The built wheel, in an environment of its own, beside somebody else's `kernels`, from another folder."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from gptoss_tui.kernels.cpu.build import SOURCE, fingerprint, needs_zig

ROOT = Path(__file__).parents[2]
ROOMS = {name: f"gptoss_tui/{name}" for name in ("kernels", "model", "tools")} | {"gptoss_tui": "gptoss_tui"}
QUIET = {"GPTOSS_CHAT_TOOLS": "none"}
SHIPPED = (".py", ".tcss", ".typed", ".json", ".safetensors", ".c", ".h")


def files_of_the_rooms() -> Iterator[str]:
    """Everything that must be in the wheel, by its path there."""
    for room, target in ROOMS.items():
        for file in (ROOT / room).rglob("*"):  # does not follow the links to the other rooms
            if file.suffix in SHIPPED and file.is_file() and "__pycache__" not in file.parts:
                yield f"{target}/{file.relative_to(ROOT / room).as_posix()}"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository, with whatever libraries were built in it."""
    copy = tmp_path_factory.mktemp("source") / "gptoss-chat"
    unwanted = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "runs", "*.egg-info")
    shutil.copytree(ROOT, copy, symlinks=True, ignore=unwanted)
    return copy


def build(source: Path, *options: str, **environment: str) -> Path:
    """The distribution that is built from `source` without a network: a wheel, or what `options` say."""
    # What the backend asks for is what this environment has, or a compiler, which it does without.
    command = [sys.executable, "-m", "build", "--no-isolation", "--skip-dependency-check"]
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        finished = subprocess.run(
            [*command, *(options or ["--wheel"]), "--outdir", folder, str(source)],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert finished.returncode == 0, finished.stderr
        (made,) = Path(folder).iterdir()
        return made.rename(source.parent / made.name)


@pytest.fixture(scope="module")
def wheel(source: Path) -> Path:
    """A wheel, with the library where this machine can build it."""
    return build(source)


@pytest.fixture(scope="module")
def wheel_without(source: Path) -> Path:
    """A wheel as a machine makes it that cannot build the library, from a copy where an earlier one lies."""
    stale = source / "kernels" / "cpu" / "native-00000000-0000000000000000.so"
    stale.write_bytes(b"of an earlier build")
    made = build(source, GPTOSS_NATIVE_BUILD="off")
    assert stale.exists()
    return made


def install(wheel: Path, environment: Path) -> Path:
    """The executables of a new environment with the wheel, our dependencies and a foreign `kernels`."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True, timeout=60)
    packages = next(environment.glob("lib/python*/site-packages"))
    # The dependencies, but not the editable install beside them: a .pth file there is not followed.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    (packages / "kernels").mkdir()
    (packages / "kernels" / "__init__.py").write_text("OWNER = 'somebody else'\n")
    pip = [sys.executable, "-m", "pip", "--python", str(environment / "bin" / "python"), "install"]
    subprocess.run([*pip, "--quiet", "--no-deps", "--no-index", wheel], check=True, timeout=60)
    return environment / "bin"


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The executables of an environment with the wheel."""
    return install(wheel, tmp_path_factory.mktemp("environment"))


def answer(program: Path, *arguments: str, environment: Mapping[str, str]) -> str:
    """What the installed command prints, which succeeds."""
    finished = subprocess.run(
        [program / "gptoss-chat", *arguments],
        cwd=environment["HOME"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_the_list_of_packages_is_the_folders_on_disk() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {Path(name).parent for name in files_of_the_rooms() if name.endswith(".py")}
    assert sorted(listed) == sorted(".".join(folder.parts) for folder in folders)


def test_the_wheel_carries_every_module_stylesheet_and_weight(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    expected = set(files_of_the_rooms())
    assert expected <= packed
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        assert f"gptoss_tui/model/demo/weights/{name}" in packed
    assert any(name.endswith(".tcss") for name in packed)
    assert {name.partition("/")[0] for name in packed} == {
        "gptoss_tui",
        f"{wheel.name.partition('-py3-none-')[0]}.dist-info",
    }
    assert {name for name in packed if name.endswith(".py")} <= expected


def test_a_wheel_has_the_library_of_its_own_sources_or_is_for_any_platform(
    wheel: Path, wheel_without: Path
) -> None:
    packed = [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".so")]
    if needs_zig():
        assert wheel.name.endswith("-py3-none-any.whl")
        assert packed == []
    else:
        (library,) = packed
        assert library.startswith(f"gptoss_tui/kernels/cpu/native-{fingerprint()}-")
        assert wheel.name.endswith(f"{platform.machine()}.whl")
    assert wheel_without.name.endswith("-py3-none-any.whl")
    assert not [name for name in zipfile.ZipFile(wheel_without).namelist() if name.endswith(".so")]


def test_a_source_distribution_has_what_a_wheel_is_built_with(source: Path) -> None:
    with tarfile.open(build(source, "--sdist")) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    sources = {path.resolve().relative_to(ROOT).as_posix() for path in SOURCE.rglob("*.[ch]")}
    assert sources | {"installation/native_backend.py", "kernels/cpu/build.py"} <= names
    assert not [name for name in names if name.endswith(".so")]


def test_it_lives_beside_another_kernels(installed: Path, environment: Mapping[str, str]) -> None:
    program = "import kernels, gptoss_tui, gptoss_tui.kernels; print(kernels.OWNER, gptoss_tui.__file__)"
    python = [str(installed / "python"), "-c", program]
    finished = subprocess.run(
        python, cwd=environment["HOME"], env=environment, capture_output=True, text=True, check=True
    )
    owner, _, file = finished.stdout.strip().rpartition(" ")
    assert owner == "somebody else"
    assert Path(file).is_relative_to(installed.parent)


def test_the_installed_command_answers(installed: Path, environment: Mapping[str, str]) -> None:
    assert answer(installed, "--version", environment=environment).startswith("gptoss-chat 0")
    assert answer(installed, "-p", "Hello!", "--seed", "1", environment=environment).strip()


def test_the_doctor_tells_the_kernels(installed: Path, environment: Mapping[str, str]) -> None:
    said = answer(installed, "doctor", "--device", "cpu", environment={**environment, **QUIET})
    expected = "plain PyTorch. The native library is not there;" if needs_zig() else "native"
    assert re.search(rf"^  kernels +{expected}", said, re.MULTILINE)


def test_without_the_library_plain_pytorch_answers_and_the_doctor_tells_why(
    wheel_without: Path, tmp_path: Path, environment: Mapping[str, str]
) -> None:
    program = install(wheel_without, tmp_path)
    assert answer(program, "-p", "Hello!", "--seed", "1", environment=environment).strip()
    said = answer(program, "doctor", "--device", "cpu", environment={**environment, **QUIET})
    assert re.search(r"^  kernels +plain PyTorch\. The native library is not there; ", said, re.MULTILINE)
    assert f"`{program / 'python'} -m gptoss_tui.kernels.cpu.build` builds it" in said
