"""The built wheel, in an environment of its own, beside somebody else's `kernels`, from another folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = {name: f"gptoss_tui/{name}" for name in ("kernels", "model", "tools")} | {"gptoss_tui": "gptoss_tui"}
SHIPPED = (".py", ".tcss", ".typed", ".json", ".safetensors")


def files_of_the_rooms() -> Iterator[str]:
    """Everything that must be in the wheel, by its path there."""
    for room, target in ROOMS.items():
        for file in (ROOT / room).rglob("*"):  # does not follow the links to the other rooms
            if file.suffix in SHIPPED and file.is_file() and "__pycache__" not in file.parts:
                yield f"{target}/{file.relative_to(ROOT / room).as_posix()}"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of a copy of the repository, built without a network."""
    source, built = tmp_path_factory.mktemp("source") / "gptoss-chat", tmp_path_factory.mktemp("built")
    unwanted = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "runs", "*.egg-info")
    shutil.copytree(ROOT, source, symlinks=True, ignore=unwanted)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(built), str(source)]
    finished = subprocess.run(build, capture_output=True, text=True, timeout=200, check=False)
    assert finished.returncode == 0, finished.stderr
    return next(built.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The executables of an environment with the wheel, our dependencies and a foreign `kernels`."""
    environment = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True, timeout=60)
    packages = next(environment.glob("lib/python*/site-packages"))
    # The dependencies, but not the editable install beside them: a .pth file there is not followed.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    (packages / "kernels").mkdir()
    (packages / "kernels" / "__init__.py").write_text("OWNER = 'somebody else'\n")
    pip = [sys.executable, "-m", "pip", "--python", str(environment / "bin" / "python"), "install"]
    subprocess.run([*pip, "--quiet", "--no-deps", "--no-index", wheel], check=True, timeout=60)
    return environment / "bin"


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
        f"{wheel.name.removesuffix('-py3-none-any.whl')}.dist-info",
    }
    assert {name for name in packed if name.endswith(".py")} <= expected


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
    for arguments, told in ((["--version"], "gptoss-chat 0"), (["-p", "Hello!", "--seed", "1"], "")):
        finished = subprocess.run(
            [installed / "gptoss-chat", *arguments],
            cwd=environment["HOME"],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert finished.returncode == 0, finished.stderr
        assert finished.stdout.startswith(told)
        assert finished.stdout.strip()
