"""What speculation comes to: `python benchmarks/speculation.py -m MODEL`.

The same texts are written with and without, in turn, by the decoder itself: each token is drawn by the
network's kernels, and then replaced by that of the text. So the times are those of these texts whatever the
weights can write, and random weights of the true shape will do. Prose has nothing to copy; a quotation and an
edit of code copy from their prompt. A ratio above 1 is won; the median of the rounds counts.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import tiktoken

from gptoss_tui.model.checkpoint import Checkpoint, open_checkpoint
from gptoss_tui.model.constraint.automaton import Automaton, DrawToken
from gptoss_tui.model.engine import Finished, Request, Sampling, Token
from gptoss_tui.model.engine.decoder import Decoder
from gptoss_tui.model.engine.device import choose_device, choose_dtype
from gptoss_tui.model.errors import CheckpointError
from gptoss_tui.model.load import load_network

ROOT = Path(__file__).parent.parent


class Dictation(Automaton):
    """Draws each token at the full price, and dictates another."""

    def __init__(self, ids: list[int]) -> None:
        self._ids: Iterator[int] = iter(ids)

    def draw(self, draw: DrawToken, room: int) -> tuple[int, float]:
        _, logprob = draw(None)
        return next(self._ids), logprob


def tasks() -> dict[str, tuple[str, str]]:
    """By name a prompt and what is written after it."""
    prose = (ROOT / "docs/usage.md").read_text("utf-8")
    other = (ROOT / "docs/harmony.md").read_text("utf-8")
    code = (ROOT / "model/sampling.py").read_text("utf-8")
    edited = code.replace("_sampling", "_settings").replace("raise ValueError(", "raise SamplingError(")
    return {
        "prose": (prose[:2000], other[:3000]),
        "code": (prose[:2000], code[:3000]),
        "quotation": (f"Quote the second half of this:\n{prose[:2000]}", f"It says:\n{prose[1000:2000]}"),
        "edit": (f"Rename _sampling, and raise a SamplingError:\n{code}", f"Here:\n{edited}"),
    }


def tokenizer_of(checkpoint: Checkpoint) -> tiktoken.Encoding:
    """The checkpoint's own, or where it has none that of the demo model."""
    try:
        return checkpoint.tokenizer()
    except CheckpointError:
        return open_checkpoint("demo").tokenizer()


def measure(
    decoder: Decoder, prompt: list[int], text: list[int], clock: Callable[[], float]
) -> tuple[float, Finished]:
    """Seconds a token after the first, and the end."""
    request = Request(tuple(prompt), Sampling(seed=0, max_tokens=len(text)))
    first = end = None
    for item in decoder.generate(request, lambda: False, Dictation(text)):
        if first is None and isinstance(item, Token):
            first = clock()
        end = item
    assert first is not None and isinstance(end, Finished)
    return (clock() - first) / (len(text) - 1), end


def main() -> None:
    """Print one line for each text."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-m", "--model", default="demo", help='"demo" or the folder of a checkpoint')
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--threads", type=int, help="processor threads")
    parser.add_argument("--tokens", type=int, default=400, help="of each text, at most")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--texts", nargs="+", choices=list(tasks()), default=list(tasks()))
    parser.add_argument(
        "--process-time", action="store_true", help="count the processor's time: beside other work"
    )
    options = parser.parse_args()
    if options.threads:
        os.environ["OMP_NUM_THREADS"] = str(options.threads)
    checkpoint = open_checkpoint(options.model)
    tokenizer = tokenizer_of(checkpoint)
    dtype = choose_dtype(options.dtype, checkpoint.config)
    network = load_network(checkpoint, choose_device(options.device), dtype)
    clock = time.process_time if options.process_time else time.perf_counter
    context = checkpoint.config.max_position_embeddings
    print(f"{options.model}, {dtype}, {options.rounds} rounds; times in ms a token")
    print(f"{'':12}{'tokens':>7}{'without':>9}{'with':>9}{'ratio':>8}{'least':>8}{'accepted':>12}")
    for name in options.texts:
        prompt, text = tasks()[name]
        ids = tokenizer.encode(prompt, disallowed_special=())
        told = tokenizer.encode(text, disallowed_special=())[: options.tokens]
        with_, without = (Decoder(network, context, speculate=does, clock=clock) for does in (True, False))
        for decoder in (without, with_):  # the prompt is read once, and costs measured
            measure(decoder, ids, told, clock)
        pairs = [
            (measure(without, ids, told, clock)[0], *measure(with_, ids, told, clock))
            for _ in range(options.rounds)
        ]
        ratios = [plain / fast for plain, fast, _ in pairs]
        drafted = sum(end.drafted for _, _, end in pairs)
        accepted = sum(end.accepted for _, _, end in pairs)
        print(
            f"{name:12}{len(told):7}{statistics.median(p for p, _, _ in pairs) * 1e3:9.2f}"
            f"{statistics.median(f for _, f, _ in pairs) * 1e3:9.2f}{statistics.median(ratios):8.2f}"
            f"{min(ratios):8.2f}{f'{accepted}/{drafted}':>12}"
        )


if __name__ == "__main__":
    main()
