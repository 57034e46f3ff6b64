"""One question, one answer: the installed command on the embedded model, as scripts use it."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
QUESTION = "What is 417 * 38?"


@pytest.fixture(scope="module")
def answer(run: Any) -> Any:
    """The finished process that answered QUESTION."""
    return run("-p", QUESTION, "--tools", "python", "--seed", "1")


@pytest.mark.usefixtures("sandbox")
def test_answer_on_stdout_and_nothing_else(answer: Any, sandbox_notice: str) -> None:
    assert answer.returncode == 0, answer.stderr
    assert "15846" in answer.stdout.replace(",", "")
    assert answer.stdout.endswith("\n")
    assert answer.stderr == sandbox_notice


@pytest.mark.usefixtures("sandbox")
def test_json_lines(run: Any) -> None:
    finished = run("-p", QUESTION, "--json", "--seed", "1")
    events = _events(finished.stdout)
    by_type = {event["type"]: event for event in events}
    assert finished.returncode == 0, finished.stderr
    assert by_type["engine.ready"]["model"] == "demo"
    assert by_type["response.created"]["effort"] == "medium"
    assert by_type["response.tool_call"]["recipient"] == "python"
    assert by_type["response.tool_output"]["call_id"] == by_type["response.tool_call"]["call_id"]
    assert "15846" in by_type["response.tool_output"]["output"]
    completed = events[-1]
    assert completed["type"] == "response.completed"
    for kind in ("output_text", "reasoning_text"):
        deltas = [event["delta"] for event in events if event["type"] == f"response.{kind}.delta"]
        assert len(deltas) > 1
        assert "".join(completed[kind].split()) == "".join("".join(deltas).split())
    usage = completed["usage"]
    assert usage["output_tokens"] > usage["reasoning_tokens"] > 0
    assert usage["input_tokens"] > usage["cached_tokens"] > 0, "the second sample must reuse the first prompt"


@pytest.mark.usefixtures("sandbox")
def test_reasoning_and_tool_calls_on_stderr(run: Any, answer: Any) -> None:
    told = run("-p", QUESTION, "--show-reasoning", "--seed", "1")
    assert told.returncode == 0
    assert "[python]" in told.stderr
    assert "[output] 15846" in told.stderr
    assert "[python]" not in told.stdout
    assert told.stdout == answer.stdout, "a seed makes an answer repeatable"


@pytest.mark.usefixtures("sandbox")
def test_question_on_stdin(run: Any, answer: Any) -> None:
    piped = run(stdin=f"{QUESTION}\n", GPTOSS_CHAT_SEED="1")
    assert piped.returncode == 0, piped.stderr
    assert piped.stdout == answer.stdout


def test_stdin_is_context_before_the_question(run: Any) -> None:
    """The prompt is stdin, an empty line, the question: the same tokens as that text given with -p."""
    piped = run("-p", "What is my name?", "--json", "--seed", "1", stdin="My name is Ada.\n")
    whole = run("-p", "My name is Ada.\n\nWhat is my name?", "--json", "--seed", "1")
    assert _deltas(piped.stdout) == _deltas(whole.stdout) != []


def test_a_conversation_goes_on(run: Any) -> None:
    assert run("-p", "My name is Ada.", "--seed", "1").returncode == 0
    finished = run("-p", "What is my name?", "--continue", "--seed", "1")
    assert "Ada" in finished.stdout, finished.stderr
    shown = run("--plain", "--continue", stdin="/quit\n").stdout
    assert "> My name is Ada.\n" in shown
    assert f"> What is my name?\n{finished.stdout}" in shown
    unknown = run("-p", "Hello!", "--resume", "nosuch")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "nosuch" in unknown.stderr


@pytest.mark.usefixtures("with_landlock")
def test_without_bubblewrap_the_next_sandbox_takes_over(run: Any) -> None:
    finished = run("-p", QUESTION, "--seed", "1", PATH="/nowhere")
    assert finished.returncode == 0, finished.stderr
    assert "15846" in finished.stdout.replace(",", "")
    assert "reduced sandbox" in finished.stderr


def test_without_any_sandbox_nothing_runs(unconfinable: Any) -> None:
    finished = unconfinable("-p", QUESTION, "--json", "--seed", "1")
    outputs = [event for event in _events(finished.stdout) if event["type"] == "response.tool_output"]
    assert outputs, finished.stderr
    assert all(output["is_error"] and "15846" not in output["output"] for output in outputs)
    assert all("Python is off" in output["output"] for output in outputs)
    notices = [event["message"] for event in _events(finished.stdout) if event["type"] == "tools.notice"]
    assert len(notices) == 1
    assert "gptoss-chat doctor" in notices[0]


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize(
    ("name", "most"), [("nofile", 64), ("as", 3_000_000 << 10), ("nproc", 60), ("fsize", 10 << 20)]
)
def test_limits_below_those_of_the_sandbox_are_kept(
    command: str, environment: Mapping[str, str], sandbox_notice: str, name: str, most: int
) -> None:
    kind = getattr(resource, f"RLIMIT_{name.upper()}")
    finished = subprocess.run(
        [command, "-p", "Hello!"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=250,
        preexec_fn=lambda: resource.setrlimit(kind, (most, most)),
        check=False,
    )
    assert (finished.returncode, finished.stderr) == (0, sandbox_notice)


def test_the_one_way_around_sandbox_and_approval(run: Any) -> None:
    finished = run(
        "-p", QUESTION, "--seed", "1", "--dangerously-bypass-approvals-and-sandbox", PATH="/nowhere"
    )
    assert finished.returncode == 0, finished.stderr
    assert "15846" in finished.stdout.replace(",", "")


def test_no_escape_sequences_even_when_colour_is_forced(run: Any) -> None:
    finished = run(
        "-p", "Hello!", "--show-reasoning", FORCE_COLOR="1", CLICOLOR_FORCE="1", COLORTERM="truecolor"
    )
    assert finished.returncode == 0
    assert "\x1b" not in finished.stdout + finished.stderr


def test_an_ascii_locale_gets_the_answer_too(run: Any) -> None:
    finished = run("-p", "Hello!", LANG="C", LC_ALL="POSIX", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0")
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.strip()


def test_functions_are_offered(run: Any) -> None:
    finished = run("-p", "Hello!", "--functions", str(EXAMPLES / "functions.py"), "--seed", "1")
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.strip()


def test_ctrl_c_keeps_what_was_said(command: str, environment: Mapping[str, str], endless: Path) -> None:
    with start([command, "-p", "hi", "-m", str(endless), "--json", *GREEDY], environment) as process:
        said = wait_for("delta", process)
        process.send_signal(signal.SIGINT)
        rest, complaint = process.communicate(timeout=120)
    last = json.loads((said + rest).splitlines()[-1])
    assert process.returncode == 130, complaint
    assert last["type"] == "response.incomplete"
    assert last["reason"] == "interrupted"
    assert "Traceback" not in complaint
    assert_nothing_is_left(environment)


def test_ctrl_c_ends_a_measurement(command: str, environment: Mapping[str, str], endless: Path) -> None:
    arguments = ("bench", "-m", str(endless), "--prompt", "4", "--steps", "100000")
    with start([command, *arguments], environment) as process:
        wait_for("prompt", process)
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=120)
    assert (process.returncode, complaint) == (130, "")
    assert_nothing_is_left(environment)


def test_a_reader_that_leaves_is_no_crash(
    command: str, environment: Mapping[str, str], endless: Path
) -> None:
    with start([command, "-p", "hi", "-m", str(endless), "--json", *GREEDY], environment) as process:
        wait_for("delta", process)
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(timeout=120) == 1
        assert process.stderr is not None
        assert process.stderr.read() == "gptoss-chat: nobody reads the output any more\n"
    assert_nothing_is_left(environment)


def test_light_imports(environment: Mapping[str, str]) -> None:
    """`--help` and typing errors answer at once."""
    program = "import sys, gptoss_tui.cli.main; print(*sys.modules)"
    finished = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in finished.stdout.split()}
    assert not loaded & {
        "torch",
        "textual",
        "rich",
        "numpy",
        "tiktoken",
        "openai_harmony",
        "asyncio",
        "pydantic",
    }


GREEDY = ("--temperature", "0", "--tools", "none")


def start(command: list[str], environment: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=environment["HOME"],
        start_new_session=True,
    )


def wait_for(text: str, process: subprocess.Popen[str]) -> str:
    """What the process printed, up to the first line that contains `text`."""
    said = ""
    assert process.stdout is not None
    for line in process.stdout:
        said += line
        if text in line:
            return said
    raise AssertionError(f"the process ended without saying {text!r}: {said}")


def assert_nothing_is_left(environment: Mapping[str, str]) -> None:
    """No process that the command started outlives it: all carry its HOME in their environment."""
    home = f"HOME={environment['HOME']}".encode()
    deadline = time.monotonic() + 60
    while left := [name for name in Path("/proc").glob("[0-9]*") if home in _environment_of(name)]:
        assert time.monotonic() < deadline, [(name / "cmdline").read_bytes() for name in left]
        time.sleep(0.05)


def _environment_of(process: Path) -> list[bytes]:
    try:
        return (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _events(stdout: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stdout.splitlines()]


def _deltas(stdout: str) -> list[str]:
    return [event["delta"] for event in _events(stdout) if event["type"].endswith("_text.delta")]
