"""What an installation fetches, from indexes that are folders here: a build of torch, and a compiler."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import pip as pip_package
import pytest

ROOT = Path(__file__).parents[2]
(TORCH,) = re.findall(r"^torch==(.*)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
(UV,) = re.findall(r"^uv==(.*)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)

# In the place of the real one: it takes the CPU build from a folder, or finds no way to it.
UV_WITH_A_ROUTE = """#!/bin/sh
case "$*" in *--torch-backend=cpu*) ;; *) exit 2 ;; esac
while [ "$1" != --python ]; do shift; done
exec "$2" -m pip install --quiet --no-index --find-links "$CPU_BUILDS" --no-deps torch
"""
UV_WITHOUT_A_ROUTE = "#!/bin/sh\nexit 2\n"

needs_make_and_no_card = pytest.mark.skipif(
    not shutil.which("make") or Path("/dev/nvidia0").exists() or bool(shutil.which("nvidia-smi")),
    reason="make is not on this machine, or a card is",
)


def wheel(folder: Path, name: str, version: str, needs: str = "", program: str = "") -> None:
    """A package of nothing but its name, what it needs, and a program called like it."""
    folder.mkdir(exist_ok=True)
    files = {
        f"{name}-{version}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        + (f"Requires-Dist: {needs}\n" if needs else ""),
        f"{name}-{version}.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{name}/__init__.py": "",
    }
    if program:
        files[f"{name}-{version}.data/scripts/{name}"] = program
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as packed:
        for file, text in files.items():
            entry = zipfile.ZipInfo(file)
            entry.external_attr = 0o100755 << 16  # a program is one by its mode
            packed.writestr(entry, text)
        packed.writestr(f"{name}-{version}.dist-info/RECORD", "".join(f"{file},,\n" for file in files))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with what makes .venv and its torch; .venv has the pip of these tests and nothing else."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for name in ("Makefile", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / ".venv"], check=True, timeout=60)
    (packages,) = folder.glob(".venv/lib/python*/site-packages")
    pip = Path(pip_package.__path__[0])
    shutil.copytree(pip, packages / "pip")
    (information,) = pip.parent.glob("pip-*.dist-info")
    shutil.copytree(information, packages / information.name)
    return folder


def only(folder: Path) -> dict[str, str]:
    """The environment in which pip knows the packages in `folder` and no others."""
    return {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder)}


def make(copy: Path, uv: str, *variables: str, environment: Mapping[str, str]) -> tuple[str, set[str]]:
    """What `make .venv/.torch` prints, and the packages that are there afterwards."""
    # `make test` runs these tests: a make within it would say where it is, and take its variables.
    outside = {name: value for name, value in environment.items() if not name.startswith(("MAKE", "MFLAGS"))}
    usual, cpu = copy.parent / "usual", copy.parent / "cpu"
    wheel(usual, "torch", TORCH, needs="nvidia-cublas")
    wheel(usual, "nvidia_cublas", "13.0")
    wheel(usual, "uv", UV, program=uv)
    wheel(cpu, "torch", f"{TORCH}+cpu")
    finished = subprocess.run(
        ["make", ".venv/.torch", *variables],
        cwd=copy,
        env={**outside, **only(usual), "CPU_BUILDS": str(cpu)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert not (copy / ".venv" / "uv").exists()
    there = {file.name.removesuffix(".dist-info") for file in copy.glob(".venv/lib/python*/*/*.dist-info")}
    return finished.stdout + finished.stderr, {name for name in there if not name.startswith("pip-")}


@needs_make_and_no_card
def test_it_takes_the_build_for_the_cpu(copy: Path, environment: Mapping[str, str]) -> None:
    said, packages = make(copy, UV_WITH_A_ROUTE, environment=environment)
    assert packages == {f"torch-{TORCH}+cpu"}
    assert said == f"Installing torch=={TORCH}, the build for the CPU ...\n"


@needs_make_and_no_card
def test_where_that_cannot_be_had_it_goes_on_and_says_what_that_costs(
    copy: Path, environment: Mapping[str, str]
) -> None:
    said, packages = make(copy, UV_WITHOUT_A_ROUTE, environment=environment)
    assert packages == {f"torch-{TORCH}", "nvidia_cublas-13.0"}
    assert "about 3 GB" in said
    assert len(said.splitlines()) == 2


@needs_make_and_no_card
def test_a_torch_that_is_there_is_kept(copy: Path, environment: Mapping[str, str]) -> None:
    make(copy, UV_WITH_A_ROUTE, environment=environment)
    (copy / ".venv" / ".torch").unlink()
    said, packages = make(copy, UV_WITHOUT_A_ROUTE, environment=environment)
    assert (said, packages) == ("", {f"torch-{TORCH}+cpu"})


@needs_make_and_no_card
def test_an_address_of_ones_own_is_taken(copy: Path, environment: Mapping[str, str]) -> None:
    index = copy.parent / "index" / "torch"
    index.mkdir(parents=True)
    wheel(index, "torch", f"{TORCH}+mine")
    (file,) = index.glob("*.whl")
    (index / "index.html").write_text(f'<a href="{file.name}">{file.name}</a>')
    address = f"TORCH_INDEX={index.parent.as_uri()}"
    said, packages = make(copy, UV_WITHOUT_A_ROUTE, address, "PIP_NO_INDEX=", environment=environment)
    assert packages == {f"torch-{TORCH}+mine"}
    assert said == f"Installing torch=={TORCH} from {index.parent.as_uri()} ...\n"


def requirements(environment: Mapping[str, str]) -> list[str]:
    """What the build backend asks a front end to install."""
    program = "import native_backend; print(*native_backend.get_requires_for_build_wheel())"
    finished = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**environment, "PYTHONPATH": "installation"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return finished.stdout.splitlines()[-1].split()


@pytest.mark.skipif(bool(find_spec("ziglang")), reason="the package ziglang is installed")
def test_a_compiler_is_asked_for_where_none_is_and_one_can_be_had(
    tmp_path: Path, environment: Mapping[str, str]
) -> None:
    empty, index = tmp_path / "empty", tmp_path / "index"
    empty.mkdir()
    wheel(index, "ziglang", "0.17.1")
    without = {name: value for name, value in environment.items() if name != "CC"} | {"PATH": str(empty)}
    assert requirements(without | only(index)) == ["ziglang>=0.17"]
    assert requirements(without | only(empty)) == []
    assert requirements(without | only(index) | {"GPTOSS_NATIVE_BUILD": "off"}) == []
