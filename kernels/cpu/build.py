"""Compiles the kernels in C: `python -m gptoss_tui.kernels.cpu.build`, `make native`, and the build backend.

Files straight in `source/` are compiled once, for any processor of the architecture; those in
`source/levels/` once for every level of instructions, with LEVEL defined as its name. All become one library,
which chooses among the levels when it runs. The compiler is the system's, or else the one in the package
`ziglang`. The library's name tells the sources that it was made of, and its content: so one that is stale, or
damaged, is never loaded (`library.py`).

The build backend loads this file by its path, without the package: it needs only the standard library.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
SOURCE = HERE / "source"
SUFFIX = ".so"  # ctypes asks for none, and macOS loads it too

SWITCH = "GPTOSS_NATIVE_BUILD"
"""The environment variable that says whether and with what to build: auto, zig (where it is there) or off."""

_FLAGS = (
    "-O3 -std=gnu11 -fPIC -fvisibility=hidden -fno-math-errno -ffp-contract=fast -pthread "
    "-Wall -Wextra -Wno-psabi"
)
_AVX2 = "-mavx2 -mfma -mf16c -mbmi2"
_AVX512 = f"{_AVX2} -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni"
_BF16 = "-mavx512bf16 -mavx512vbmi"
_LEVELS = {
    # For each level, least first: the flags of gcc and clang, and of zig, which names processors instead.
    "x86_64": {
        "base": ("-march=x86-64", "-mcpu=x86_64"),
        "avx2": (f"-march=x86-64 {_AVX2}", f"-mcpu=x86_64 {_AVX2}"),
        "avx512": (f"-march=x86-64 {_AVX512}", f"-mcpu=x86_64 {_AVX512}"),
        "avx512bf16": (f"-march=x86-64 {_AVX512} {_BF16}", f"-mcpu=x86_64 {_AVX512} {_BF16}"),
    },
    "aarch64": {
        "base": ("-march=armv8-a", "-mcpu=generic"),
        "dotprod": ("-march=armv8.2-a+dotprod", "-mcpu=generic+v8_2a+dotprod"),
        "i8mm": ("-march=armv8.2-a+dotprod+i8mm+bf16", "-mcpu=generic+v8_2a+dotprod+i8mm+bf16"),
    },
}
_ANY = {"base": ("", "-mcpu=baseline")}
_PATIENCE = 900.0  # seconds for one file
_TRIAL = """
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif
double trial(double x) { return sqrt(x) + (double)(uintptr_t)pthread_self(); }
"""


class BuildError(Exception):
    """Why there is no library: a sentence, and below it what the compilers said."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a library is for: `machine`, as Linux calls it, and `system`, linux or macos."""

    machine: str
    system: str

    @classmethod
    def here(cls) -> Target:
        """This machine."""
        machine = {"arm64": "aarch64", "amd64": "x86_64"}.get(name := platform.machine().lower(), name)
        return cls(machine, {"darwin": "macos"}.get(sys.platform, sys.platform))

    @property
    def apple_machine(self) -> str:
        """The machine as Apple calls it."""
        return {"aarch64": "arm64"}.get(self.machine, self.machine)

    @property
    def levels(self) -> dict[str, tuple[str, str]]:
        """The flags of each level, least first."""
        return _LEVELS.get(self.machine, _ANY)


@dataclass(frozen=True, slots=True)
class Compiler:
    """A compiler, by the command that starts it."""

    command: tuple[str, ...]
    is_zig: bool = False

    def __str__(self) -> str:
        return "zig" if self.is_zig else shlex.join(self.command)

    def flags(self, target: Target, level: str) -> list[str]:
        """Which system and instructions to compile for. glibc 2.17 is that of manylinux2014."""
        given = target.levels[level][self.is_zig].split()
        if self.is_zig and target.machine in _LEVELS:
            system = {"linux": "linux-gnu.2.17", "macos": "macos.11.0"}[target.system]
            return ["-target", f"{target.machine}-{system}", *given]
        if target.system == "macos":
            return ["-arch", target.apple_machine, "-mmacosx-version-min=11.0", *given]
        return given

    def platform_tag(self, target: Target) -> str:
        """The platform of a wheel with this compiler's library."""
        if target.system == "macos":
            return f"macosx_11_0_{target.apple_machine}"
        is_old_glibc = self.is_zig and target.machine in _LEVELS
        return f"{'manylinux2014' if is_old_glibc else target.system}_{target.machine}"

    def run(self, scratch: Path, *arguments: str | Path) -> None:
        """Call it; its own files go to `scratch`. Raises BuildError, with what it said, if it fails."""
        # zig keeps what it compiles in the home folder unless told otherwise, which may not be ours to write.
        caches = {name: str(scratch / "zig") for name in ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR")}
        try:
            finished = subprocess.run(
                [*self.command, *arguments],
                env={**caches, **os.environ},
                capture_output=True,
                text=True,
                timeout=_PATIENCE,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BuildError(str(error)) from error
        if finished.returncode:
            raise BuildError((finished.stderr or finished.stdout).strip())


@dataclass(frozen=True, slots=True)
class Built:
    """A library, and how it was made."""

    path: Path
    compiler: Compiler
    target: Target


def fingerprint() -> str:
    """Eight hex digits that stand for the sources and the flags."""
    digest = hashlib.sha256(repr((_FLAGS, _LEVELS)).encode())
    for file in sorted(SOURCE.rglob("*.[ch]")):
        digest.update(f"{file.relative_to(SOURCE).as_posix()} {file.stat().st_size}\n".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:8]


def content(library: bytes) -> str:
    """Sixteen hex digits that stand for a library's content."""
    return hashlib.sha256(library).hexdigest()[:16]


def needs_zig() -> bool:
    """Whether a build here lacks the package `ziglang`: on request, or as no compiler of the system works."""
    if (wanted := _wanted()) == "off" or Target.here().machine not in _LEVELS or find_spec("ziglang"):
        return False
    return wanted == "zig" or not any(_works(compiler, Target.here()) for compiler in _of_the_system())


def build(into: Path = HERE, target: Target | None = None) -> Built:
    """Compile the library into the folder `into`, and remove older ones there.

    Each compiler that is there is tried in turn. Raises BuildError, with what they said, if none makes it.
    """
    if _wanted() == "off":
        raise BuildError(f"Switched off by {SWITCH}=off.")
    where = target or Target.here()
    faults = []
    with tempfile.TemporaryDirectory(prefix="gptoss-native-") as scratch:
        for compiler in _compilers(where):
            try:
                made = _compile(compiler, where, Path(scratch))
            except BuildError as error:
                faults.append(f"{compiler}: {error}")
                continue
            try:
                return Built(_put(made, into), compiler, where)
            except OSError as error:
                raise BuildError(f"{into} cannot be written: {error.strerror}.") from error
    what = (
        "No C compiler works here." if faults else "No C compiler is here; `pip install ziglang` brings one."
    )
    raise BuildError("\n".join([what, *faults]))


def _put(made: Path, folder: Path) -> Path:
    """The library in its place: whole as soon as it is there, whoever else builds at the same time."""
    name = f"native-{fingerprint()}-{content(made.read_bytes())}{SUFFIX}"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(made, beside := folder / f".{name}.{os.getpid()}")
    beside.replace(folder / name)
    for older in folder.glob(f"native-*{SUFFIX}"):
        if older.name != name:
            older.unlink(missing_ok=True)
    return folder / name


def _wanted() -> str:
    wanted = os.environ.get(SWITCH) or "auto"
    if wanted not in ("auto", "zig", "off"):
        raise BuildError(f"{SWITCH} is {wanted!r}, and can be auto, zig or off.")
    return wanted


def _compilers(target: Target) -> list[Compiler]:
    """The compilers to try for a target, in this order."""
    zig = list(_zig())
    if target != Target.here():
        return zig
    return [*zig, *_of_the_system()] if _wanted() == "zig" else [*_of_the_system(), *zig]


def _of_the_system() -> list[Compiler]:
    commands = [shlex.split(os.environ.get("CC", "")), ["cc"], ["gcc"], ["clang"]]
    try:
        if sys.platform == "darwin":
            # Where Apple's tools are not installed, each of these opens a window that offers them.
            Compiler(("xcode-select",)).run(Path(), "--print-path")
    except BuildError:
        commands = commands[:1]
    return [Compiler(tuple(command)) for command in commands if command and shutil.which(command[0])]


def _zig() -> Iterator[Compiler]:
    """The compiler of the package `ziglang`, if it is installed beside this Python."""
    spec = find_spec("ziglang")
    if spec and spec.origin:
        yield Compiler((str(Path(spec.origin).with_name("zig")), "cc"), is_zig=True)


def _works(compiler: Compiler, target: Target) -> bool:
    """Whether it makes a library with the instructions of the highest level, headers and linker included."""
    with tempfile.TemporaryDirectory(prefix="gptoss-native-") as scratch:
        trial = Path(scratch, "trial.c")
        trial.write_text(_TRIAL)
        flags = [*compiler.flags(target, list(target.levels)[-1]), *_FLAGS.split()]
        try:
            compiler.run(trial.parent, *flags, "-shared", trial, "-o", trial.with_suffix(SUFFIX), "-lm")
        except BuildError:
            return False
        return True


def _compile(compiler: Compiler, target: Target, scratch: Path) -> Path:
    """Make the library in the folder `scratch`."""

    def compile_one(file: Path, level: str, *define: str) -> Path:
        options = [*compiler.flags(target, level), *_FLAGS.split(), f"-I{SOURCE}", *define]
        made = scratch / f"{file.parent.name}-{file.stem}-{level}.o"
        compiler.run(scratch, *options, "-c", file, "-o", made)
        return made

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        work = [pool.submit(compile_one, file, "base") for file in sorted(SOURCE.glob("*.c"))]
        for file in sorted((SOURCE / "levels").glob("*.c")):
            work += [pool.submit(compile_one, file, level, f"-DLEVEL={level}") for level in target.levels]
        objects = [one.result() for one in work]
    library = scratch / f"native{SUFFIX}"
    strip = [] if target.system == "macos" and not compiler.is_zig else ["-s"]
    link = [*compiler.flags(target, "base"), "-shared", "-O3", "-pthread", *strip]
    compiler.run(scratch, *link, *objects, "-o", library, "-lm")
    return library


def _main() -> int:
    parser = argparse.ArgumentParser(
        prog=f"python -m {__spec__.name}" if __spec__ else None, description=__doc__.partition("\n")[0]
    )
    parser.add_argument(
        "--into", type=Path, default=HERE, metavar="FOLDER", help="where it goes; beside this file"
    )
    parser.add_argument(
        "--target", metavar="MACHINE-SYSTEM", help="for another kind: aarch64-linux, aarch64-macos"
    )
    parser.add_argument(
        "--needs-zig", action="store_true", help="only tell whether ziglang is needed: status 0"
    )
    options = parser.parse_args()
    if options.needs_zig:
        return 0 if needs_zig() else 1
    machine, _, system = (options.target or "").partition("-")
    if options.target and (machine not in _LEVELS or system not in ("linux", "macos")):
        parser.error(
            f"--target is {options.target!r}, and can be {' or '.join(_LEVELS)}, then -linux or -macos"
        )
    try:
        built = build(options.into, Target(machine, system) if options.target else None)
    except BuildError as error:
        print(f"The native kernels are not built: {error}", file=sys.stderr)
        return 1
    levels = ", ".join(built.target.levels)
    print(f"{built.path}: {built.path.stat().st_size:,} bytes, by {built.compiler}, for {levels}")
    return 0


if __name__ == "__main__":
    sys.exit(_main())
