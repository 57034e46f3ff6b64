"""The build of the kernels in C: which compilers it finds, what it makes, what it says where it cannot."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from gptoss_tui.kernels.cpu.build import (
    HERE,
    SUFFIX,
    SWITCH,
    BuildError,
    Target,
    build,
    fingerprint,
    needs_zig,
)
from gptoss_tui.kernels.cpu.library import load

LEVELS = """
#define JOIN_(name, level) name##_##level
#define JOIN(name, level) JOIN_(name, level)
__attribute__((visibility("default"))) int JOIN(level, LEVEL)(void) { return 1; }
"""
needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="no C compiler on this machine"
)
needs_ziglang = pytest.mark.skipif(not find_spec("ziglang"), reason="the package ziglang is not installed")


@pytest.fixture
def no_compilers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A PATH with nothing on it, as if no compiler was installed."""
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.delenv("CC", raising=False)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A copy of build.py with sources of a few lines, to change."""
    folder = tmp_path / "small"
    (folder / "source" / "levels").mkdir(parents=True)
    shutil.copy(HERE / "build.py", folder)
    (folder / "source" / "library.c").write_text("int library(void) { return 1; }\n")
    (folder / "source" / "levels" / "library.c").write_text(LEVELS)
    return folder


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """What build.py in `folder` does as a program."""
    command = [sys.executable, str(folder / "build.py"), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


def libraries(folder: Path) -> list[Path]:
    return list(folder.glob(f"native-*{SUFFIX}"))


@needs_compiler
def test_the_library_is_built_from_the_sources_and_loads(tmp_path: Path) -> None:
    built = build(tmp_path)
    assert built.path.name.startswith(f"native-{fingerprint()}-")
    assert load(tmp_path).gptoss_abi() > 0


@needs_compiler
def test_every_level_is_in_it_and_needs_no_package_around_it(small: Path) -> None:
    finished = run(small)
    assert finished.returncode == 0, finished.stderr
    library = ctypes.CDLL(str(libraries(small)[0]))
    for level in Target.here().levels:
        assert library[f"level_{level}"]() == 1
    assert not hasattr(library, "library"), "hidden unless it is exported"


@needs_compiler
def test_a_new_library_takes_the_place_of_older_ones(small: Path) -> None:
    assert run(small).returncode == 0
    (before,) = libraries(small)
    (small / "something else.so").write_bytes(b"not ours")
    with (small / "source" / "library.c").open("a") as file:
        file.write("// changed\n")
    assert run(small).returncode == 0
    (after,) = libraries(small)
    assert after.name.split("-")[1] != before.name.split("-")[1]
    assert (small / "something else.so").exists()


@needs_compiler
def test_a_compiler_that_does_not_work_is_passed_over(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = small / "broken"
    broken.write_text("#!/bin/sh\necho 'I do not work' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CC", str(broken))
    assert not needs_zig()
    finished = run(small)
    assert finished.returncode == 0, finished.stderr


@needs_compiler
def test_what_the_compiler_said_is_told(small: Path) -> None:
    (small / "source" / "wrong.c").write_text("this is no C;\n")
    finished = run(small)
    assert finished.returncode == 1
    assert finished.stderr.startswith("The native kernels are not built: No C compiler works here.\n")
    assert "wrong.c:1" in finished.stderr
    assert libraries(small) == []


@needs_compiler
def test_builds_at_the_same_time_do_not_meet(small: Path) -> None:
    command = [sys.executable, str(small / "build.py")]
    children = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [child.wait(timeout=600) for child in children] == [0, 0, 0]
    assert {file.name for file in small.iterdir()} == {
        "build.py",
        "source",
        *(f.name for f in libraries(small)),
    }
    assert len(libraries(small)) == 1


def test_without_any_compiler_the_reason_is_one_sentence(tmp_path: Path, no_compilers: None) -> None:
    if find_spec("ziglang"):
        pytest.skip("the package ziglang is installed")
    with pytest.raises(BuildError, match=r"^No C compiler is here; `pip install ziglang` brings one\.$"):
        build(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_package_ziglang_is_wanted_only_without_a_compiler_and_where_it_exists(
    no_compilers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert needs_zig()
    monkeypatch.setenv(SWITCH, "off")
    assert not needs_zig()
    monkeypatch.delenv(SWITCH)
    monkeypatch.setattr("platform.machine", lambda: "s390x")
    assert not needs_zig()


def test_the_switch_is_obeyed_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "off")
    with pytest.raises(BuildError, match=f"^Switched off by {SWITCH}=off"):
        build(tmp_path)
    monkeypatch.setenv(SWITCH, "yes")
    with pytest.raises(BuildError, match=f"^{SWITCH} is 'yes', and can be auto, zig or off"):
        build(tmp_path)


@needs_compiler
def test_a_folder_that_cannot_be_written_is_told(small: Path) -> None:
    (small / "file").touch()
    finished = run(small, f"--into={small / 'file' / 'folder'}")
    assert finished.returncode == 1
    assert "cannot be written: " in finished.stderr
    assert len(finished.stderr.splitlines()) == 1


@pytest.mark.parametrize("target", ["nonsense", "x86_64-windows", "-linux", "aarch64"])
def test_an_unknown_target_is_refused(target: str) -> None:
    finished = run(HERE, f"--target={target}")
    assert finished.returncode == 2
    assert "x86_64 or aarch64, then -linux or -macos" in finished.stderr


@pytest.mark.slow
@needs_ziglang
def test_without_a_compiler_ziglang_makes_a_library_for_any_linux(tmp_path: Path, no_compilers: None) -> None:
    built = build(tmp_path)
    assert built.compiler.is_zig
    assert load(tmp_path).gptoss_abi() > 0
    if sys.platform == "linux":
        assert built.compiler.platform_tag(built.target).startswith("manylinux2014_")
        versions = re.findall(rb"GLIBC_2\.(\d+)", built.path.read_bytes())
        assert all(int(version) <= 17 for version in versions)
