"""Standard streams that are closed, full or of the wrong kind: one line, the right status, no traceback."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

FULL = "gptoss-chat: the output cannot be written (No space left on device)\n"
CLOSED = "gptoss-chat: the output cannot be written (Bad file descriptor)\n"
QUESTION = ("-p", "Hello!", "--tools", "none")


class Shell:
    """Runs the command with the redirections of a shell."""

    def __init__(self, command: str, environment: Mapping[str, str]) -> None:
        self.command, self.environment = command, environment

    def __call__(
        self, arguments: Sequence[str], redirections: str, **options: object
    ) -> subprocess.CompletedProcess[str]:
        """Run it; what no redirection takes is captured."""
        return subprocess.run(  # type: ignore[no-any-return]
            ["sh", "-c", f'"$@" {redirections}', "sh", self.command, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=250,
            check=False,
            **{"cwd": self.environment["HOME"], **options},  # type: ignore[call-overload]
        )


@pytest.fixture(scope="module")
def shell(command: str, environment: Mapping[str, str]) -> Shell:
    return Shell(command, environment)


@pytest.mark.parametrize(
    "arguments",
    [("--version",), ("--help",), ("sessions",), ("sessions", "--json"), ("doctor", "--help"), QUESTION],
    ids=" ".join,
)
def test_a_full_output_is_told(shell: Shell, arguments: Sequence[str]) -> None:
    finished = shell(arguments, ">/dev/full")
    assert (finished.returncode, finished.stderr) in ((1, FULL), (0, ""))
    # A list of nothing writes nothing.
    assert finished.returncode or arguments[0] == "sessions"


@pytest.mark.parametrize("arguments", [("--json", *QUESTION), ("--plain", "--tools", "none")], ids=" ".join)
def test_a_full_output_is_told_in_mid_conversation(shell: Shell, arguments: Sequence[str]) -> None:
    finished = shell(arguments, "</dev/null >/dev/full")
    assert (finished.returncode, finished.stderr) == (1, FULL)


@pytest.mark.parametrize(
    "arguments",
    [("--version",), ("--help",), ("sessions",), ("doctor",), QUESTION, ("--plain",)],
    ids=" ".join,
)
def test_an_output_that_is_closed_is_told_before_anything_is_done(
    shell: Shell, arguments: Sequence[str]
) -> None:
    finished = shell(arguments, "</dev/null >&-")
    assert (finished.returncode, finished.stderr) == (1, CLOSED)


def test_without_any_stream_nothing_gets_into_a_file(shell: Shell) -> None:
    finished = shell(QUESTION, "<&- >&- 2>&-")
    assert (finished.returncode, finished.stdout, finished.stderr) == (1, "", "")


@pytest.mark.parametrize("stderr", ["2>&-", "2>/dev/full"])
def test_nowhere_to_complain_is_no_reason_not_to_answer(shell: Shell, stderr: str) -> None:
    finished = shell((*QUESTION, "--show-reasoning"), stderr)
    assert finished.returncode == 0
    assert "demo model" in finished.stdout


def test_a_closed_input_is_an_empty_one(shell: Shell) -> None:
    assert shell(QUESTION, "<&-").returncode == 0
    finished = shell(("--plain", "--tools", "none"), "<&-")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert shell(("--json",), "<&-").returncode == 2


@pytest.mark.parametrize("arguments", [QUESTION, ("--plain", "--tools", "none")], ids=" ".join)
def test_an_input_that_cannot_be_read_is_told(shell: Shell, arguments: Sequence[str]) -> None:
    finished = shell(arguments, "0>/dev/null")
    assert finished.returncode == 1
    assert finished.stderr == "gptoss-chat: stdin cannot be read (Bad file descriptor)\n"


@pytest.mark.parametrize("arguments", [("sessions",), QUESTION], ids=" ".join)
def test_a_folder_that_is_gone_is_told(shell: Shell, tmp_path: Path, arguments: Sequence[str]) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    finished = shell(arguments, "", preexec_fn=gone.rmdir, cwd=gone)
    assert finished.returncode == 1
    ours = [line for line in finished.stderr.splitlines() if not line.startswith("sh: ")]
    assert len(ours) == 1
    assert ours[0].startswith("gptoss-chat: the current folder cannot be used (")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda one: one.name)
def test_a_signal_while_the_model_loads_is_told(
    command: str, environment: Mapping[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    process = subprocess.Popen(
        [command, "--json", *QUESTION],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    process.send_signal(number)
    rest, complaint = process.communicate(timeout=120)
    assert "engine.loading" in first, first
    # The signal may come when the question has been asked already.
    assert process.returncode == 128 + number
    assert complaint in ("", f"gptoss-chat: ended by {number.name} before the question was asked\n")
    assert rest or complaint


def test_a_long_prompt_shows_signs_of_life(command: str, environment: Mapping[str, str]) -> None:
    arguments = (command, "--tools", "none", "--context", "131072", "-p", "a" * 100_000)
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(arguments, env=environment, **pipes) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("gptoss-chat: reading")
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=120)
    assert process.returncode == 130
    assert all(line.startswith("gptoss-chat: reading") for line in complaint.splitlines())
