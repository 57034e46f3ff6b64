"""`gptoss-chat bench`: how fast a model runs here, measured with the engine that conversations have.

Prompts are random tokens, so the checkpoint needs no tokenizer, and none is known to the engine beforehand.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from time import monotonic

from ...events.printable import printable
from ...model.checkpoint import open_checkpoint
from ...model.cores import default_threads
from ...model.engine import EngineError, EngineInfo, Finished, PrefillProgress, Request, Sampling, Token
from ...model.engine.local import LocalEngine
from ...model.engine.survey import bandwidth
from ...model.errors import CheckpointError
from ...plain.show import complain
from ...settings import KEYS, Settings, read_settings

PROMPTS = (128, 512, 2048)
"""The lengths of prompts that are measured unless one is asked for, as far as the context holds them."""


@dataclass(slots=True)
class Measured:
    """What was measured with prompts of one length: a number for each round.

    `first_token_s` is the time from a new prompt to its first token, `first_token_again_s` that of the same
    prompt once more. Tokens are written at the depth of the prompt.
    """

    prompt: int
    prefill_tokens_per_s: list[float] = field(default_factory=list)
    first_token_s: list[float] = field(default_factory=list)
    first_token_again_s: list[float] = field(default_factory=list)
    decode_tokens_per_s: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that was measured; a part is None where it cannot be.

    `load_s` begins with the start of the engine's process. `peak_memory_gb` is the most that it has had in
    memory, `read_gb_per_s` what main memory gave beside it, `read_gb_per_token` what it reads of weights. The
    rates and times are medians for the longest prompt; `measured` has every single one.
    """

    model: str
    device: str
    threads: int
    rounds: int
    steps: int
    load_s: float
    peak_memory_gb: float | None
    read_gb_per_s: float | None
    read_gb_per_token: float | None
    prompt: int
    prefill_tokens_per_s: float
    first_token_s: float
    first_token_again_s: float
    decode_tokens_per_s: float
    measured: tuple[Measured, ...]


@dataclass(frozen=True, slots=True)
class Timing:
    """One generation: seconds to its first token, and tokens per second of the prompt and after it."""

    first_s: float
    prefill: float
    decode: float


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    lengths = ", ".join(f"{length:,}" for length in PROMPTS)
    parser.add_argument("-m", "--model", metavar="MODEL", help="measure this model, not the one that is set")
    parser.add_argument(
        "--prompt", metavar="N", type=_count, help=f"the length of the prompt in tokens ({lengths})"
    )
    parser.add_argument("--steps", metavar="N", type=_count, default=32, help="tokens written after it (32)")
    parser.add_argument("--rounds", metavar="N", type=_count, default=3, help="times it is repeated (3)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--context", metavar="N", help="the most tokens of prompt and answer")
    parser.add_argument("--device", metavar="DEVICE", help="where it runs: auto, cpu, cuda, cuda:N")
    parser.add_argument("--threads", metavar="N", help="processor threads it may use")


def run(options: Namespace) -> int:
    """Measure and print; returns the exit status. Raises SettingsError for wrong usage."""
    flags = {name: value for name, value in vars(options).items() if name in KEYS and value is not None}
    settings = read_settings(flags, os.environ)
    # A shell that starts it in the background has had the signal ignored; -p heeds it there too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        asyncio.run(_Bench(settings, options).run())
    except (CheckpointError, EngineError) as error:
        complain(str(error))
        return 1
    return 0


def _count(text: str) -> int:
    if not text.isdecimal() or len(text) > 9 or not int(text):
        raise ArgumentTypeError(f"{text[:20]!r} is not a whole number from 1 to 999,999,999")
    return int(text)


class _Bench:
    """One run of the measurements."""

    def __init__(self, settings: Settings, options: Namespace) -> None:
        self._name = settings.model
        self._threads = settings.threads or default_threads()
        self._engine = LocalEngine(
            open_checkpoint(settings.model).path,
            name=settings.model,
            device=settings.device,
            context=settings.context,
            threads=settings.threads,
        )
        self._prompt: int | None = options.prompt
        self._steps: int = options.steps
        self._rounds: int = options.rounds
        self._json: bool = options.json
        self._bandwidths: list[float] = []

    async def run(self) -> None:
        """Load, measure and print. Raises EngineError."""
        try:
            started = monotonic()
            async for _ in self._engine.load():
                pass
            load_s = monotonic() - started
            info = self._engine.info()
            assert info is not None
            prompts = self._fitting(info)
            self._tell(f"{self._name} on {info.device}, loaded in {load_s:.2f} s\n\n{_HEAD}")
            results: tuple[Measured, ...] = ()
            for prompt in prompts:
                results += (await self._measure(prompt, info),)
                self._tell(_line(results[-1]))
            report = self._report(info, load_s, results)
            self._tell(_conclusion(report))
            if self._json:
                print(json.dumps(asdict(report)), flush=True)
        finally:
            await self._engine.close()

    def _fitting(self, info: EngineInfo) -> tuple[int, ...]:
        """The lengths of prompts to measure. Raises EngineError if the context holds none of them."""
        most = info.context - self._steps
        wanted = (self._prompt,) if self._prompt else PROMPTS
        fitting = tuple(prompt for prompt in wanted if prompt < most)
        if not fitting:
            raise EngineError(
                f"A prompt of {wanted[0]:,} tokens and {self._steps:,} after it do not fit into the context "
                f"of {info.context:,} tokens: lower --prompt or --steps."
            )
        return fitting

    async def _measure(self, prompt: int, info: EngineInfo) -> Measured:
        measured = Measured(prompt)
        for _ in range(self._rounds):
            if info.read_for_token and (given := await bandwidth(self._threads)):
                self._bandwidths.append(given)
            ids = tuple(random.randrange(info.vocabulary) for _ in range(prompt))
            first = await self._time(ids)
            again = await self._time(ids)
            measured.prefill_tokens_per_s.append(first.prefill)
            measured.first_token_s.append(first.first_s)
            measured.first_token_again_s.append(again.first_s)
            measured.decode_tokens_per_s += (first.decode, again.decode)
        return measured

    async def _time(self, ids: tuple[int, ...]) -> Timing:
        """Read a prompt, then write so many tokens that `steps` times lie between them.

        Tokens come through a pipe, several at once when this process was late, so their time is the engine's.
        """
        cached, first = 0, 0.0
        started = monotonic()
        async for item in self._engine.generate(Request(ids, Sampling(max_tokens=self._steps + 1))):
            match item:
                case PrefillProgress():
                    cached = item.cached
                case Token():
                    first = first or monotonic() - started
                case Finished():
                    return Timing(first, (len(ids) - cached) / item.prefill_s, self._steps / item.decode_s)
        raise EngineError("The engine ended a generation without a word.")

    def _report(self, info: EngineInfo, load_s: float, results: tuple[Measured, ...]) -> Report:
        longest = results[-1]
        speed = median(self._bandwidths) / 1e9 if self._bandwidths else None
        return Report(
            model=self._name,
            device=info.device,
            threads=self._threads,
            rounds=self._rounds,
            steps=self._steps,
            load_s=load_s,
            peak_memory_gb=_peak_memory(self._engine.pid),
            read_gb_per_s=speed,
            read_gb_per_token=info.read_for_token / 1e9 if info.read_for_token else None,
            prompt=longest.prompt,
            prefill_tokens_per_s=median(longest.prefill_tokens_per_s),
            first_token_s=median(longest.first_token_s),
            first_token_again_s=median(longest.first_token_again_s),
            decode_tokens_per_s=median(longest.decode_tokens_per_s),
            measured=results,
        )

    def _tell(self, text: str) -> None:
        if not self._json:
            print(printable(text), flush=True)


def _line(measured: Measured) -> str:
    """A row of the table: medians."""
    return (
        f"{measured.prompt:>8,}{median(measured.prefill_tokens_per_s):>18,.1f}"
        f"{median(measured.first_token_s):>16.3f}{median(measured.first_token_again_s):>16.3f}"
        f"{median(measured.decode_tokens_per_s):>20,.1f}"
    )


_HEAD = (
    f"{'prompt':>8}{'read, tokens/s':>18}{'first token, s':>16}{'once more, s':>16}{'written, tokens/s':>20}"
)


def _conclusion(report: Report) -> str:
    """What stands below the table: memory, and how much of its speed was used."""
    lines = [""]
    if report.peak_memory_gb:
        lines.append(f"memory at most {report.peak_memory_gb:.2f} GB, files that are mapped included")
    if report.read_gb_per_token and report.read_gb_per_s:
        used = report.read_gb_per_token * report.decode_tokens_per_s
        lines.append(
            f"a token reads {report.read_gb_per_token:.3g} GB of weights, which makes {used:.3g} GB/s "
            f"of the {report.read_gb_per_s:.3g} that memory gives, {used / report.read_gb_per_s:.0%}"
        )
    return "\n".join(lines)


def _peak_memory(pid: int | None) -> float | None:
    """The most that a process has had in memory, in GB (proc_pid_status(5), VmHWM); None where unknown."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    lines = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(lines[0].split()[1]) * 1024 / 1e9 if lines else None
