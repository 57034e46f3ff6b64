"""gptoss-chat beside llama.cpp on this CPU: `python benchmarks/against_llama_cpp.py --llama-python PYTHON`.

Both run the same random network of gpt-oss-20b's proportions, a sixth of it or the full shape, each in a
process of its own. They are measured in turns, and what counts are the ratios within a round, since the speed
of memory drifts by more than they differ; it is measured in every round too. First their logits are compared,
which shows that it is one network.

PYTHON is an interpreter with the packages llama-cpp-python, built for this machine, and gguf.
"""

from __future__ import annotations

import argparse
import platform
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import NamedTemporaryFile
from time import sleep
from typing import Any, NamedTuple

import numpy as np
import platformdirs
from agreement import agreement
from player import Player
from random_checkpoint import FULL, SIXTH, write_checkpoint

from gptoss_tui.kernels.bandwidth import read_bandwidth
from gptoss_tui.model.checkpoint.memory import available
from gptoss_tui.model.config import ModelConfig
from gptoss_tui.model.cores import default_threads

SETTLE_S = 0.05
"""Seconds before a turn, in which the threads of the other engine fall asleep."""

COMPARED = 64
"""Tokens of the prompt whose logits are compared."""


class Workload(NamedTuple):
    """A prompt to read, or, if `steps`, steps to take with so many tokens in memory."""

    tokens: int
    steps: int

    def __str__(self) -> str:
        return f"step at {self.tokens:,}" if self.steps else f"prompt of {self.tokens:,}"


class Match:
    """The measurements of one run, of players that take turns."""

    def __init__(self, config: ModelConfig, workloads: Sequence[Workload], threads: int) -> None:
        self.weight_bytes: dict[str, list[float]] = {}
        self.logits: list[np.ndarray[Any, np.dtype[np.float32]]] = []
        self.samples: dict[Workload, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.bandwidths: dict[Workload, list[float]] = defaultdict(list)
        self._config = config
        self._workloads = workloads
        self._threads = threads

    def play(self, players: Sequence[Player], rounds: int) -> None:
        """Measure every workload in so many rounds; the players begin a round in turns."""
        for player in players:
            self._meet(player)
        for workload in self._workloads:
            ids = self._ids(workload.tokens)
            for player in players:
                player.play(ids, 1)  # a step at a depth is measured where this is remembered
            for number in range(rounds):
                self.bandwidths[workload].append(read_bandwidth(self._threads))
                if not workload.steps:
                    ids = self._ids(workload.tokens)
                for player in players if number % 2 == 0 else reversed(players):
                    sleep(SETTLE_S)
                    played = player.play(ids, workload.steps)
                    seconds = median(played.steps_s) if workload.steps else played.read_s
                    self.samples[workload][player.name].append(seconds)

    def _meet(self, player: Player) -> None:
        """Have it compute logits for one prompt, which wakes every expert; compare those of the first two."""
        self.weight_bytes[player.name] = player.weight_bytes
        ids = random.Random(0).sample(range(self._config.vocab_size), COMPARED)
        with NamedTemporaryFile(suffix=".npy") as file:
            player.ask("logits", ids, file.name)
            self.logits.append(np.load(file.name))
        if len(self.logits) == 2:
            print(f"logits of {COMPARED} tokens: {agreement(*self.logits)}", flush=True)

    def _ids(self, count: int) -> list[int]:
        return [random.randrange(self._config.vocab_size) for _ in range(count)]

    def report(self) -> None:
        """Print medians with the least and the largest, and how much faster the first player is."""
        first, second = self.weight_bytes
        speeds = [speed for speeds in self.bandwidths.values() for speed in speeds]
        print(f"\nmemory read by {self._threads} threads: {_spread(speeds, 1e-9)} GB/s\n")
        print(f"{'median (range), ms':20}{first:>28}{second:>28}{'times as fast':>26}")
        for workload, taken in self.samples.items():
            ratios = [theirs / ours for ours, theirs in zip(taken[first], taken[second], strict=True)]
            figures = (_spread(taken[first], 1e3), _spread(taken[second], 1e3), _spread(ratios, 1))
            print(f"{workload!s:20}{figures[0]:>28}{figures[1]:>28}{figures[2]:>26}")
        for workload in filter(lambda workload: workload.steps, self.samples):
            memory = median(self.bandwidths[workload])
            for name, widths in self.weight_bytes.items():
                size = self._config.read_for_token(*widths) + 2 * self._config.cached_values(workload.tokens)
                share = size / memory / median(self.samples[workload][name])
                fastest = f"{size / 1e6:,.0f} MB, {size / memory * 1e3:.2f} ms at the speed of memory"
                print(f"{workload}: {name} reads {fastest}, {share:.0%} of its time")


def main() -> None:
    """Prepare, measure and print."""
    given = _arguments()
    config, name = (FULL, "20b") if given.full else (SIXTH, "a sixth of 20b")
    checkpoint = given.folder / name.replace(" ", "-")
    gguf = checkpoint.with_suffix(".gguf")
    write_checkpoint(config, checkpoint)
    if not gguf.exists():
        copy = Path(__file__).with_name("gguf_copy.py")
        subprocess.run((given.llama_python, copy, checkpoint, gguf), check=True)
    workloads = [Workload(tokens, 0) for tokens in given.prompts]
    workloads += [Workload(tokens, given.steps) for tokens in given.depths]
    context = max(COMPARED, *(workload.tokens for workload in workloads)) + given.steps + 2
    # As the engine sets its process up.
    sleeping = {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": str(given.threads)}

    def ours() -> Player:
        return Player(sys.executable, "play_gptoss_chat.py", checkpoint, context, environment=sleeping)

    def theirs() -> Player:
        script = "play_llama_cpp.py"
        return Player(given.llama_python, script, gguf, context, given.threads, environment={})

    print(f"{name}, {given.threads} threads each, {given.rounds} rounds, {_processor()}", flush=True)
    match = Match(config, workloads, given.threads)
    stored = sum(file.stat().st_size for file in (gguf, *checkpoint.iterdir()))
    if stored < 0.8 * (available("cpu") or 0):
        with ours() as first, theirs() as second:
            match.play((first, second), given.rounds)
    else:
        print("Memory does not hold both, so each is loaded anew for its turn.", flush=True)
        for number in range(given.rounds):
            for start in (ours, theirs)[:: 1 if number % 2 == 0 else -1]:
                with start() as player:
                    match.play((player,), 1)
    match.report()


def _spread(samples: Sequence[float], unit: float) -> str:
    """The median, the least and the largest, each in three digits."""
    figures = [value * unit for value in (median(samples), min(samples), max(samples))]
    return "{} ({} - {})".format(*(f"{value:,.0f}" if value >= 100 else f"{value:.3g}" for value in figures))


def _processor() -> str:
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return names[0].partition(": ")[2] if names else platform.processor()


def _arguments() -> argparse.Namespace:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--llama-python", default=sys.executable, help="default: this interpreter")
    parser.add_argument("--full", action="store_true", help="24 layers: 26 GB on disk")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--prompts", type=int, nargs="*", default=[2, 8, 32, 64, 512], help="tokens to read")
    parser.add_argument("--depths", type=int, nargs="*", default=[512], help="tokens in memory at a step")
    parser.add_argument("--steps", type=int, default=24, help="steps of a round")
    parser.add_argument("--threads", type=int, default=default_threads())
    home = platformdirs.user_cache_path("gptoss-chat") / "benchmarks"
    parser.add_argument("--folder", type=Path, default=home, help=f"where the weights are kept ({home})")
    return parser.parse_args()


if __name__ == "__main__":
    main()
