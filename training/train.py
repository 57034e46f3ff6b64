"""Train the embedded demo model: `python -m gptoss_tui.training.train`.

Everything follows from the seed: batch n depends on the seed and n alone, so that an interrupted run that is
started again with the same command continues exactly where its last saved state lies. On CUDA the batches are
written by processes of their own, and sums may differ in their last bits from run to run.
"""

from __future__ import annotations

import argparse
import ctypes
import multiprocessing
import os
import pickle
import random
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

# Threads that spin while they wait make a step ten times slower on a busy machine; read when torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

import tiktoken
import torch
import torch.nn.functional as F
from torch import Tensor

from gptoss_tui.model.checkpoint import checkpoint_at
from gptoss_tui.model.checkpoint.hub import TOKENIZER
from gptoss_tui.model.demo import checkpoint_path

from .examples import SPAN_START, Batch, batches
from .export import copy_tokenizer, read_weights, write_checkpoint, write_config
from .initialisation import initialise
from .network import DemoNetwork, NetworkShape
from .optimiser import optimisers
from .vocabulary import load_encoding, train_tokenizer

AVERAGE = 0.998
"""Decay of the moving average of the weights, which is exported."""


USUAL_STEPS, USUAL_SCALE = 4420, 6
"""The course of the shipped weights: batches of about 97,000 tokens."""

DRILLS = 0.03
"""Share of rows that are copying drills, once copying has been learnt."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The course of training, in steps."""

    steps: int
    warmup: int
    decay_from: int
    quantise_from: int
    drills_until: int
    drills_start: float = 0.6
    drills_end: float = DRILLS
    scale: int = USUAL_SCALE
    peak: float = 1.0
    average: float = AVERAGE

    @classmethod
    def of(cls, steps: int, scale: int, *, further: bool = False) -> Schedule:
        """The usual course in that many steps; `further` is a gentler one, from a trained checkpoint on.

        The learning rates fall with the square root of the batches' size.
        """
        if further:
            peak = 0.35 * (scale / USUAL_SCALE) ** 0.5
            return cls(steps, 50, steps // 4, 0, 1, DRILLS, DRILLS, scale, peak, average=0.99)
        return cls(
            steps=steps,
            warmup=50,
            decay_from=steps // 2,
            quantise_from=steps * 2 // 3,
            drills_until=max(1, steps // 12),
            scale=scale,
        )

    def rate(self, step: int) -> float:
        """The factor of the learning rates: warm-up, plateau, linear decay."""
        decay = (self.steps - step) / max(1, self.steps - self.decay_from)
        return self.peak * min(1.0, (step + 1) / self.warmup, max(decay, 0.0))

    def drills(self, step: int) -> float:
        """The share of rows that are copying drills."""
        left = max(0.0, 1 - step / self.drills_until)
        return self.drills_end + (self.drills_start - self.drills_end) * left


class Run:
    """The state of a training run in its folder."""

    def __init__(  # noqa: PLR0917
        self,
        folder: Path,
        seed: int,
        schedule: Schedule,
        shape: NetworkShape,
        device: str = "cpu",
        start: Path | None = None,
    ) -> None:
        # Otherwise threads add the gradients of shared rows in any order.
        torch.use_deterministic_algorithms(device == "cpu")
        # No tensor is read before it is written; filling each one would take a twentieth of a step.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        self.folder, self.seed, self.schedule = folder, seed, schedule
        self.device = torch.device(device)
        if not (folder / TOKENIZER).exists():
            write_config(folder, shape)
            if start:
                copy_tokenizer(start, folder)
            else:
                train_tokenizer(folder, seed)
        self.encoding: tiktoken.Encoding = load_encoding(folder)
        self.network = DemoNetwork(shape)
        initialise(self.network, seed)
        if start:
            read_weights(start, self.network)
        self.network.to(self.device)
        self.optimisers = optimisers(self.network)
        self.rates = [optimiser.param_groups[0]["lr"] for optimiser in self.optimisers]
        self.average = {name: p.detach().clone() for name, p in self.network.named_parameters()}
        self.step = 0
        self.tokens = 0
        if self.state_path.exists():
            self._restore(torch.load(self.state_path, weights_only=True, map_location=self.device))

    @property
    def state_path(self) -> Path:
        """The file of the state from which a run continues."""
        return self.folder / "state.pt"

    def save(self) -> None:
        """Write the state, completely or not at all."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average,
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "step": self.step,
            "tokens": self.tokens,
            "shape": asdict(self.network.shape),
        }
        partial = self.state_path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.state_path)

    def _restore(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.average = state["average"]
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.step, self.tokens = state["step"], state["tokens"]

    @property
    def parts(self) -> int:
        """The number of parts of a batch: a GPU has memory for the whole at once."""
        return 1 if self.device.type == "cuda" else self.schedule.scale

    def train_step(self, parts: list[Batch] | None = None) -> tuple[Tensor, Tensor]:
        """One step; returns the loss and the share of copied spans whose first token was predicted.

        `parts` are the step's batch, if another process has already written it.
        """
        parts = parts or step_batch(self.seed, self.schedule, self.step, self.encoding, self.parts)
        rate = self.schedule.rate(self.step)
        for optimiser, base in zip(self.optimisers, self.rates, strict=True):
            optimiser.param_groups[0]["lr"] = base * rate
            optimiser.zero_grad(set_to_none=True)
        weight = sum(float(rows.weight.sum()) for rows in parts)
        loss = torch.zeros((), device=self.device)
        right, starts = torch.zeros_like(loss), torch.zeros_like(loss)
        for rows in (part.to(self.device) for part in parts):
            logits = self.network(rows, quantised=self.step >= self.schedule.quantise_from)
            losses = F.cross_entropy(logits, rows.target, reduction="none")
            share = (losses * rows.weight).sum() / weight
            torch.autograd.backward(share)
            loss += share.detach()
            is_start = rows.weight == SPAN_START
            right += ((logits.detach().argmax(-1) == rows.target) & is_start).sum()
            starts += is_start.sum()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        for optimiser in self.optimisers:
            optimiser.step()
        self._update_average()
        self.step += 1
        self.tokens += sum(rows.tokens for rows in parts)
        return loss, right / starts.clamp(min=1)

    @torch.no_grad()
    def _update_average(self) -> None:
        # A short average at first, so that it is useful from the beginning.
        decay = min(self.schedule.average, (1 + self.step) / (10 + self.step))
        named = dict(self.network.named_parameters())
        torch._foreach_lerp_(list(self.average.values()), [named[name] for name in self.average], 1 - decay)

    def averaged(self) -> DemoNetwork:
        """A network with the averaged weights."""
        network = DemoNetwork(self.network.shape).to(self.device)
        network.load_state_dict(self.average)
        return network


def step_batch(
    seed: int, schedule: Schedule, step: int, encoding: tiktoken.Encoding, parts: int
) -> list[Batch]:
    """The batch of a step, in parts."""
    rng = random.Random(f"{seed}:{step}")
    return batches(rng, encoding, scale=schedule.scale, drills=schedule.drills(step), parts=parts)


def ahead(run: Run, stop_at: int, workers: int) -> Iterator[list[Batch] | None]:
    """The batches from the run's step on, which processes write in advance; None for one to write here."""
    if not workers:
        yield from [None] * (stop_at - run.step)
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _single_thread) as pool:
        waiting: deque[Future[bytes]] = deque()
        for step in range(run.step, stop_at):
            waiting.append(pool.submit(_written, run.folder, run.seed, run.schedule, step, run.parts))
            if len(waiting) > 4 * workers:
                yield pickle.loads(waiting.popleft().result())
        while waiting:
            yield pickle.loads(waiting.popleft().result())


def _single_thread() -> None:
    torch.set_num_threads(1)


@cache
def _encoding(folder: Path) -> tiktoken.Encoding:
    return load_encoding(folder)


def _written(folder: Path, seed: int, schedule: Schedule, step: int, parts: int) -> bytes:
    # As bytes: tensors would be sent as shared memory, whose handles are few.
    return pickle.dumps(step_batch(seed, schedule, step, _encoding(folder), parts))


def held_out(encoding: tiktoken.Encoding, seed: str, count: int) -> list[Batch]:
    """Batches with contents held out of training, and with a quarter of held-out phrasings."""
    rngs = (random.Random(f"{seed}:{i}") for i in range(count))
    return [rows for rng in rngs for rows in batches(rng, encoding, held_out=True, unseen=0.25)]


@torch.no_grad()
def success(network: DemoNetwork, played: list[Batch]) -> dict[str, tuple[int, int]]:
    """By skill: the number of dialogues in which each predicted token is the most likely one, and of all.

    If every token is right under teacher forcing, greedy decoding writes exactly the wanted turn.
    """
    counts: dict[str, tuple[int, int]] = {}
    device = network.embedding.device
    for rows in (one.to(device) for one in played):
        right = network(rows, quantised=True).argmax(-1) == rows.target
        for skill, passed in _per_dialogue(rows, right):
            good, total = counts.get(skill, (0, 0))
            counts[skill] = good + passed, total + 1
    return dict(sorted(counts.items()))


def _per_dialogue(rows: Batch, right: Tensor) -> list[tuple[str, bool]]:
    wrong = set(rows.owner[~right].tolist())
    return [(skill, i not in wrong) for i, skill in enumerate(rows.skills)]


def train(
    run: Run, *, stop_at: int, workers: int = 0, save_every_s: float = 60, evaluate_every: int = 500
) -> None:
    """Train up to step `stop_at`, saving and evaluating on the way; the log goes to stdout."""
    saved = began = time.monotonic()
    first = run.step
    validation: list[Batch] = []
    loss = starts = torch.zeros((), device=run.device)
    for parts in ahead(run, stop_at, workers):
        step_loss, step_starts = run.train_step(parts)
        weight = max(0.02, 1 / (run.step - first))
        loss = loss + weight * (step_loss - loss)
        starts = starts + weight * (step_starts - starts)
        if run.step % 25 == 0:
            pace = (time.monotonic() - began) / (run.step - first)
            progress = f"step {run.step} loss {loss.item():.4f} spans {starts.item():.3f}"
            print(f"{progress} {pace:.2f} s/step {run.tokens / 1e6:.2f} M tokens", flush=True)
        if run.step % evaluate_every == 0 or run.step == stop_at:
            validation = validation or held_out(run.encoding, "validation", 8)
            report = success(run.averaged(), validation)
            print("  held out:", " ".join(f"{k} {a}/{b}" for k, (a, b) in report.items()), flush=True)
        if time.monotonic() - saved > save_every_s:
            run.save()
            saved = time.monotonic()
    run.save()


def _keep_memory() -> None:
    """Let glibc reuse the memory of tensors instead of faulting it in again: a third faster."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mmap_max, trim_threshold = -4, -1  # <malloc.h>
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--run", type=Path, default=Path("runs/demo"), help="folder of the run's state (default: %(default)s)"
    )
    parser.add_argument(
        "--output", type=Path, default=checkpoint_path(), help="where the checkpoint is written"
    )
    parser.add_argument(
        "--export-only", action="store_true", help="write the checkpoint of the run as it stands"
    )
    parser.add_argument("--start", type=Path, help="an exported checkpoint to train further, gently")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=USUAL_STEPS)
    parser.add_argument("--scale", type=int, default=USUAL_SCALE, help="rows of a batch (times 59)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--workers", type=int, default=None, help="processes that write batches")
    arguments = parser.parse_args()
    begun = (arguments.run / TOKENIZER).exists()
    if arguments.start and not begun:
        had = checkpoint_at(arguments.start).config.vocab_size
        has = NetworkShape().vocabulary
        if had != has:
            parser.error(
                f"{arguments.start} has {had:,} tokens, the network {has:,}: it has to be trained anew"
            )
    _keep_memory()
    torch.set_num_threads(arguments.threads)
    schedule = Schedule.of(arguments.steps, arguments.scale, further=arguments.start is not None)
    run = Run(
        arguments.run,
        arguments.seed,
        schedule,
        NetworkShape(),
        arguments.device,
        start=arguments.start,
    )
    if not arguments.export_only:
        spare = max(1, (os.cpu_count() or 2) - 1)
        workers = arguments.workers if arguments.workers is not None else spare * (run.device.type == "cuda")
        train(run, stop_at=schedule.steps, workers=workers)
    write_checkpoint(arguments.output, run.averaged().cpu(), run.folder)


if __name__ == "__main__":
    main()
