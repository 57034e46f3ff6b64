"""Play held-out dialogues against a checkpoint: `python -m gptoss_tui.training.evaluate`.

Renderer, parser, turn loop and tools are the product's own. What the person says comes from the dialogues,
what the model says does not: each of its answers stays in the history. Contents are held out of training
throughout, and a quarter of the phrasings. A dialogue is right when every answer in it is.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from collections import defaultdict
from math import sqrt
from pathlib import Path

from gptoss_tui.harmony.message import Role
from gptoss_tui.model.demo import checkpoint_path

from .categories import CATEGORIES, efforts, long_talk, plain_sum
from .dialogues import plain
from .trial import Outcome, Trial, means


def wilson(right: int, of: int) -> tuple[float, float]:
    """The 95 % confidence interval of a share, after Wilson (1927), in percent."""
    if not of:
        return 0.0, 100.0
    z, share = 1.96, right / of
    middle = share + z * z / (2 * of)
    spread = z * sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    scale = 100 / (1 + z * z / of)
    return (middle - spread) * scale, (middle + spread) * scale


def row(name: str, right: int, of: int) -> str:
    """A line of the table."""
    low, high = wilson(right, of)
    return f"| {name} | {right} | {of} | {100 * right / max(of, 1):.1f} | {low:.1f} - {high:.1f} |"


def table(name: str, outcomes: list[Outcome]) -> list[str]:
    """The lines for whole dialogues, for single turns if there are several, and for every variant."""
    lines = [row(name, sum(all(one.right) for one in outcomes), len(outcomes))]
    turns = [right for one in outcomes for right in one.right]
    if len(turns) > len(outcomes):
        lines.append(row("— single turns", sum(turns), len(turns)))
    variants: dict[str, list[bool]] = defaultdict(list)
    for outcome in outcomes:
        for turn, right in zip(outcome.dialogue.turns, outcome.right, strict=True):
            variants[turn.skill].append(right)
    if len(variants) > 1:
        lines += [row(f"— {variant}", sum(marks), len(marks)) for variant, marks in sorted(variants.items())]
    return lines


def by_length(outcomes: list[Outcome]) -> list[str]:
    """The right turns by the tokens of their first prompt, in steps of 1,024."""
    steps: dict[int, list[bool]] = defaultdict(list)
    for outcome in outcomes:
        for tokens, right in zip(outcome.prompt_tokens, outcome.right, strict=True):
            steps[tokens // 1024].append(right)
    lines = ["| tokens of prompt | right | of | % | 95 % interval |", "|---|---|---|---|---|"]
    return lines + [
        row(f"{1024 * step:,} to {1024 * (step + 1):,}", sum(marks), len(marks))
        for step, marks in sorted(steps.items())
    ]


def _tell(outcome: Outcome) -> None:
    """Print a wrong dialogue to stderr."""
    for turn, said, right in zip(outcome.dialogue.turns, outcome.said, outcome.right, strict=True):
        if not right:
            print(f"[{turn.skill}, {outcome.dialogue.setting.system.effort}] {turn.user!r}", file=sys.stderr)
            for message in said:
                print(
                    f"    {message.recipient or message.name or message.channel}: {message.text!r}"[:400],
                    file=sys.stderr,
                )
            wanted = [message for message in turn.messages if message.role is Role.ASSISTANT]
            for message in wanted[1:]:
                print(f"    wanted: {message.recipient or ''} {plain(message.text)!r}", file=sys.stderr)


async def evaluate(arguments: argparse.Namespace) -> None:
    """Run the chosen categories and print their table as it grows."""
    trial = Trial(arguments.checkpoint, threads=arguments.threads, temperature=arguments.temperature)
    await trial.start()
    print("| category | right | of | % | 95 % interval |\n|---|---|---|---|---|", flush=True)
    chosen = dict(CATEGORIES) | {"plain sums": plain_sum}
    try:
        for name, invent in chosen.items():
            if arguments.only and not any(name.startswith(start) for start in arguments.only):
                continue
            outcomes = []
            for i in range(arguments.dialogues):
                outcome = await trial.play(invent(random.Random(f"{arguments.seed}:{name}:{i}")))
                outcomes.append(outcome)
                if arguments.verbose:
                    _tell(outcome)
            print("\n".join(table(name, outcomes)), flush=True)
        if not arguments.only or "effort" in arguments.only:
            questions = [
                efforts(random.Random(f"{arguments.seed}:effort:{i}"))
                for i in range(arguments.dialogues // 5)
            ]
            outcomes = [await trial.play(dialogue) for three in questions for dialogue in three]
            print("\n| effort | tokens of reasoning | calls |\n|---|---|---|")
            for effort, (tokens, calls) in means(outcomes).items():
                print(f"| {effort} | {tokens:.1f} | {calls:.2f} |", flush=True)
        if not arguments.only or "long" in arguments.only:
            talks = [
                await trial.play(long_talk(random.Random(f"{arguments.seed}:long:{i}")))
                for i in range(max(1, arguments.dialogues // 20))
            ]
            print("\n" + "\n".join(by_length(talks)), flush=True)
    finally:
        await trial.close()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, default=checkpoint_path())
    parser.add_argument("--dialogues", type=int, default=200, help="in each category")
    parser.add_argument("--only", nargs="+", help="the beginnings of the categories to run, such as: a b c")
    parser.add_argument("--seed", default="test")
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--verbose", action="store_true", help="print every wrong turn on stderr")
    asyncio.run(evaluate(parser.parse_args()))


if __name__ == "__main__":
    main()
