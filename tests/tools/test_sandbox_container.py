"""The container's command line: every confining word of it, without an engine to run it."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path

import pytest

from gptoss_tui.tools.sandbox import SharedFolder, container, limits, narrow, probe, seccomp
from gptoss_tui.tools.sandbox.container import Container

PROGRAM = [sys.executable, "-c", "pass"]
FOLDERS = [
    SharedFolder(Path("/tmp/work"), Path("/mnt/data"), writable=True),
    SharedFolder(Path("/tmp/lib"), Path("/lib2")),
]


def words(box: Container, user: int = 1000) -> list[str]:
    return container.command(box, PROGRAM, FOLDERS, Path("/mnt/data"), name="gptoss-1", user=user)


def test_it_is_confined() -> None:
    command = words(Container("/usr/bin/docker", "debian"))
    options = command[: command.index("debian")]
    assert options[:3] == ["/usr/bin/docker", "run", "--name=gptoss-1"]
    for option in (
        "--rm",
        "--pull=never",
        "--network=none",
        "--read-only",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--log-driver=none",
        "--user=1000:1000",
        f"--pids-limit={limits.TASKS}",
        f"--memory={limits.MEMORY}",
        f"--memory-swap={limits.MEMORY}",
        "--volume=/tmp/work:/mnt/data:rw",
        "--volume=/tmp/lib:/lib2:ro",
        "--workdir=/mnt/data",
        f"--entrypoint={sys.executable}",
    ):
        assert options.count(option) == 1, option
    assert [word for word in options if word.endswith(":rw")] == ["--volume=/tmp/work:/mnt/data:rw"]
    assert not [word for word in options if "privileged" in word or word.startswith("--device")]


def test_inside_the_same_filter_is_loaded_and_the_environment_is_ours() -> None:
    command = words(Container("/usr/bin/docker", "debian"))
    inside = command[command.index("debian") + 1 :]
    assert inside[:3] == ["-I", "-S", "-c"]
    assert "def load(" in inside[3]
    spec = json.loads(inside[4])
    assert base64.b64decode(spec["filter"]) == seccomp.compile_filter(seccomp.EVERYWHERE)
    assert spec["landlock"] is None
    assert spec["environment"]["HOME"] == "/tmp"
    assert "nproc" not in spec["limits"]
    assert inside[5:] == PROGRAM
    assert narrow.__doc__ is not None


def test_a_user_of_podman_stays_the_owner_of_the_workspace() -> None:
    assert "--userns=keep-id" in words(Container("/usr/bin/podman", "debian"))
    assert "--userns=keep-id" not in words(Container("/usr/bin/docker", "debian"))


def test_a_runtime_that_sandboxes_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert container.find("debian") == []
    for name in ("docker", "runsc"):
        (tmp_path / name).touch(0o755)
    docker = str(tmp_path / "docker")
    boxes = container.find("debian")
    assert boxes == [Container(docker, "debian", "runsc"), Container(docker, "debian")]
    assert "--runtime=runsc" in words(boxes[0])
    assert not [word for word in words(boxes[1]) if word.startswith("--runtime")]


async def test_an_engine_that_does_not_work_is_passed_over_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = tmp_path / "docker"
    engine.write_text("#!/bin/sh\necho Cannot connect to the daemon >&2\nexit 125\n")
    engine.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = await probe("debian", kinds=[])
    assert found.kind == "none"
    (failure,) = found.failures
    assert failure.kind == "container"
    assert "Cannot connect to the daemon" in failure.why


async def test_an_engine_that_confines_nothing_is_caught_by_the_canaries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It runs what it was told to run, with nothing around it.
    engine = tmp_path / "docker"
    engine.write_text(
        f"#!{sys.executable}\nimport os, sys\n"
        "if sys.argv[1] == 'run':\n"
        "    words = sys.argv[sys.argv.index('debian') + 1:]\n"
        f"    os.execv({sys.executable!r}, [{sys.executable!r}, *words])\n"
    )
    engine.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = await probe("debian", kinds=[])
    assert found.kind == "none"
    (failure,) = found.failures
    assert "/etc/passwd can be read" in failure.why
    assert "the network can be reached" in failure.why
