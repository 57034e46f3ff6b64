"""The build backend (PEP 517, PEP 660): setuptools, and the kernels in C with it.

Nothing here makes an installation fail. Without a library the wheel is one for any platform, and the program
runs on plain PyTorch; `gptoss-chat doctor` says so. The package `ziglang` is asked for only where no C
compiler works, and only if pip says that it can be had. GPTOSS_NATIVE_BUILD=off keeps all of this out.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import (
    build_sdist,
    get_requires_for_build_sdist,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]


Settings = dict[str, Any] | None
"""What the front end was given with `--config-settings`."""

_ZIG = "ziglang>=0.17"


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    """What must be installed to build a wheel."""
    return [*build_meta.get_requires_for_build_wheel(config_settings), *_compiler()]


def get_requires_for_build_editable(config_settings: Settings = None) -> list[str]:
    """What must be installed to build an editable wheel."""
    return [*build_meta.get_requires_for_build_editable(config_settings), *_compiler()]


def build_wheel(
    wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None
) -> str:
    """A wheel with the library, for this platform; without one, where it cannot be built, for any."""
    # Staged in a folder of our own, so that no library of an earlier build gets into the wheel.
    with TemporaryDirectory(prefix="gptoss-build-") as scratch:
        stage = Path(scratch, "stage")
        built = _build(stage / "gptoss_tui" / "kernels" / "cpu")
        settings = dict(config_settings or {})
        _add(settings, "--global-option", "build", f"--build-base={scratch}", f"--build-lib={stage}")
        if built:
            _add(settings, "--build-option", f"--plat-name={built.compiler.platform_tag(built.target)}")
        name: str = build_meta.build_wheel(wheel_directory, settings, metadata_directory)
    return name


def build_editable(
    wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None
) -> str:
    """An editable wheel; the library goes beside its sources, where the program looks for it."""
    _build(_native().HERE)
    name: str = build_meta.build_editable(wheel_directory, config_settings, metadata_directory)
    return name


def _native() -> ModuleType:
    """kernels/cpu/build.py, by its path: the package around it needs what is not installed yet."""
    file = Path("kernels", "cpu", "build.py").absolute()
    spec = spec_from_file_location("gptoss_native_build", file)
    assert spec and spec.loader
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _build(folder: Path) -> Any:
    """The library in `folder`, or None and a line that says why not."""
    native = _native()
    try:
        return native.build(folder)
    except native.BuildError as error:
        print(f"The native kernels are not built, so plain PyTorch runs: {error}", file=sys.stderr)
        return None


def _compiler() -> list[str]:
    """The requirement for a C compiler: none where one works, and none where pip cannot get one.

    The pip that is asked is the one of this Python (-I: not that of the isolated environment). A front end
    without it gets the requirement unasked.
    """
    if not _native().needs_zig():
        return []
    pip = [sys.executable, "-I", "-m", "pip", "--disable-pip-version-check"]
    quick = ["--retries=0", "--timeout=20"]
    if subprocess.run([*pip, "--version"], capture_output=True, check=False).returncode:
        return [_ZIG]
    look = [
        *pip,
        "install",
        "--dry-run",
        "--ignore-installed",
        "--no-deps",
        "--only-binary=:all:",
        *quick,
        _ZIG,
    ]
    return [] if subprocess.run(look, capture_output=True, check=False).returncode else [_ZIG]


def _add(settings: dict[str, Any], name: str, *options: str) -> None:
    """Add options of ours behind what the front end gave, a text or a list."""
    given = settings.get(name, [])
    settings[name] = [*([given] if isinstance(given, str) else given), *options]
