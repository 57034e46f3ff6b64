"""Every function of every level of the native library, by native.c; `make emulate` runs it elsewhere."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from gptoss_tui.kernels.cpu import library
from gptoss_tui.kernels.cpu.build import SOURCE


def test_every_function_of_every_level_gives_what_plain_loops_give(tmp_path: Path) -> None:
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if not compiler:
        pytest.skip("no C compiler on this machine")
    try:
        native = library.load()
    except library.LibraryError as error:
        pytest.skip(str(error))
    program = tmp_path / "native"
    source = Path(__file__).with_name("native.c")
    subprocess.run([compiler, "-O2", f"-I{SOURCE}", source, native._name, "-o", program, "-lm"], check=True)
    finished = subprocess.run([program], capture_output=True, text=True, timeout=300, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert set(finished.stdout.split()[1::2]) == {"right"}
