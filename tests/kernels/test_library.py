"""Loading the kernels in C: a library that is missing, stale, damaged or foreign is a line, no crash."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gptoss_tui.kernels.cpu.build import content, fingerprint
from gptoss_tui.kernels.cpu.library import ABI, LibraryError, describe, load

COMPILER = shutil.which("cc")
needs_compiler = pytest.mark.skipif(not COMPILER, reason="no C compiler on this machine")


def put(folder: Path, library: bytes, name: str = "") -> Path:
    """A file that passes for our library in `folder`, whatever it is."""
    file = folder / (name or f"native-{fingerprint()}-{content(library)}.so")
    file.write_bytes(library)
    return file


def compiled(folder: Path, source: str) -> bytes:
    """The shared library of a source."""
    assert COMPILER
    (folder / "foreign.c").write_text(source)
    subprocess.run([COMPILER, "-shared", "-o", "foreign", "foreign.c"], cwd=folder, check=True, timeout=60)
    return (folder / "foreign").read_bytes()


def why_not(folder: Path) -> str:
    """The reason, which is one line that says what to do."""
    with pytest.raises(LibraryError) as error:
        load(folder)
    assert "\n" not in str(error.value)
    assert f"`{sys.executable} -m gptoss_tui.kernels.cpu.build` builds it" in str(error.value)
    assert describe(folder) == f"plain PyTorch. {error.value}"
    return str(error.value)


def test_no_library(tmp_path: Path) -> None:
    assert why_not(tmp_path).startswith("The native library is not there;")
    assert why_not(tmp_path / "no folder").startswith("The native library is not there;")


def test_a_library_of_other_sources(tmp_path: Path) -> None:
    put(tmp_path, b"older", "native-00000000-0000000000000000.so")
    assert "was built from other sources than these;" in why_not(tmp_path)


@needs_compiler
def test_a_library_of_another_version(tmp_path: Path) -> None:
    put(tmp_path, compiled(tmp_path, f"int gptoss_abi(void) {{ return {ABI + 1}; }}"))
    assert f"is of version {ABI + 1}, and not {ABI};" in why_not(tmp_path)


@needs_compiler
def test_a_library_of_somebody_else(tmp_path: Path) -> None:
    file = put(tmp_path, compiled(tmp_path, "int something_else(void) { return 1; }"))
    assert f"{file.name} is not our native library;" in why_not(tmp_path)


@given(whole=st.binary(), other=st.binary())
def test_a_damaged_library_is_not_even_tried(
    whole: bytes, other: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assume(whole != other)
    folder = tmp_path_factory.mktemp("damaged")
    put(folder, whole).write_bytes(other)
    assert "is damaged;" in why_not(folder)


@needs_compiler
def test_a_library_that_was_cut(tmp_path: Path) -> None:
    whole = compiled(tmp_path, f"int gptoss_abi(void) {{ return {ABI}; }}")
    file = put(tmp_path, whole)
    for length in range(0, len(whole), 997):
        file.write_bytes(whole[:length])
        assert "is damaged;" in why_not(tmp_path)


def test_what_is_no_library_at_all(tmp_path: Path) -> None:
    put(tmp_path, b"<html>Not found</html>")
    assert "cannot be loaded: " in why_not(tmp_path)
