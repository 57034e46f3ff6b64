"""Play held-out dialogues against a checkpoint: `python -m gptoss_tui.model.demo.evaluate`.

The runtime, the renderer and the parser are the product's own. What the person says comes from the script,
what the model says does not: each of its answers stays in the history. Python is a plain evaluation of the
arithmetic expression that was sent.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import tiktoken
import torch

from gptoss_tui.harmony import Parser, render
from gptoss_tui.harmony.message import (
    Channel,
    Conversation,
    DeveloperPrompt,
    Effort,
    Message,
    Role,
    SystemPrompt,
)
from gptoss_tui.harmony.parse import Closed
from gptoss_tui.harmony.vocabulary import ControlTokens
from gptoss_tui.model import load_model, load_tokenizer
from gptoss_tui.model.engine.engine import Sampling
from gptoss_tui.model.sampling import Sampler
from gptoss_tui.model.transformer import Transformer

from . import checkpoint_path
from .dialogues import Dialogue, Setting, Turn, invent_dialogue, invent_setting
from .dialogues.arithmetic import LEADS, evaluate, is_expression, traceback
from .dialogues.turn import answer, is_held_out

LIMIT = 256
"""Tokens in one sample: the longest wanted one has about 100."""

CALLS = 3
"""Calls of Python in one turn."""


@dataclass(slots=True)
class Player:
    """A checkpoint that takes part in conversations."""

    network: Transformer
    encoding: tiktoken.Encoding
    temperature: float = 0.0
    seed: int = 0
    generated: int = 0

    def answer(self, conversation: Conversation, scripted: Turn | None = None) -> str:
        """Add the model's turn to the conversation, tools and all, and give its final answer."""
        for _ in range(CALLS + 1):
            messages = self._sample(conversation)
            conversation.messages.extend(messages)
            last = messages[-1] if messages else None
            if last is None or last.recipient != "python":
                break
            conversation.messages.append(_python(last.text, scripted))
        return last.text if last is not None and last.channel is Channel.FINAL else ""

    def _sample(self, conversation: Conversation) -> list[Message]:
        stops = ControlTokens.of(self.encoding).stops
        parser = Parser(self.encoding, recipients=frozenset({"python"}))
        sampler = Sampler(Sampling(self.temperature, seed=self.seed + self.generated))
        cache = self.network.new_cache()
        ids = render(conversation, self.encoding)
        closed: list[Message] = []
        for _ in range(LIMIT):
            logits = self.network(torch.tensor(ids), cache, last_only=True)[0]
            ids = [sampler.sample(logits)[0]]
            self.generated += 1
            closed += [piece.message for piece in parser.feed(ids[0]) if isinstance(piece, Closed)]
            if ids[0] in stops or parser.ended:
                break
        closed += [piece.message for piece in parser.finish() if isinstance(piece, Closed)]
        return closed


def _python(code: str, scripted: Turn | None) -> Message:
    """What the tool says; where the script has it fail for this very code, the failure."""
    calls = dict(_calls(scripted)) if scripted else {}
    if code in calls:
        return calls[code]
    result = evaluate(code) if is_expression(code) else "SyntaxError: invalid syntax"
    text = traceback(code, result, cell=1) if "Error" in result else result
    return Message(Role.TOOL, text, name="python", channel=Channel.ANALYSIS)


def _calls(turn: Turn) -> Iterator[tuple[str, Message]]:
    messages = turn.transcript()
    for call, output in pairwise(messages):
        if call.recipient == "python":
            yield call.text, output


@dataclass(slots=True)
class Report:
    """Right answers by skill, whole dialogues, and how much was thought at each effort."""

    turns: dict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))
    dialogues: list[bool] = field(default_factory=list)
    thoughts: dict[Effort, list[int]] = field(default_factory=lambda: defaultdict(list))

    def add(self, player: Player, dialogue: Dialogue, *, verbose: bool) -> None:
        """Play one dialogue."""
        conversation = Conversation(dialogue.setting.system, dialogue.setting.developer)
        right = []
        for turn in dialogue.turns:
            conversation.messages.append(Message(Role.USER, turn.user))
            begin = len(conversation.messages)
            final = player.answer(conversation, turn)
            right.append(final == turn.final)
            self.turns[turn.skill].append(right[-1])
            thought = [m.text for m in conversation.messages[begin:] if _is_thought(m)]
            tokens = sum(len(player.encoding.encode_ordinary(text)) for text in thought)
            self.thoughts[dialogue.setting.system.effort].append(tokens)
            if verbose and not right[-1]:
                said = [(m.recipient or m.channel, m.text) for m in conversation.messages[begin:]]
                print(f"[{turn.skill}] {turn.user!r}: {said}, wanted {turn.final!r}", file=sys.stderr)
        self.dialogues.append(all(right))

    def table(self) -> str:
        """The report as a Markdown table."""
        rows = [(skill, sum(marks), len(marks)) for skill, marks in sorted(self.turns.items())]
        rows.append(("whole dialogues", sum(self.dialogues), len(self.dialogues)))
        lines = ["| skill | right | of | % |", "|---|---|---|---|"]
        lines += [f"| {skill} | {good} | {total} | {100 * good / total:.1f} |" for skill, good, total in rows]
        means = {effort: sum(n) / len(n) for effort, n in self.thoughts.items()}
        shown = ", ".join(f"{effort} {means[effort]:.1f}" for effort in Effort if effort in means)
        return "\n".join([*lines, "", f"Mean tokens of analysis in a turn: {shown}."])


def plain_sum(rng: random.Random) -> Dialogue:
    """The commonest question: two numbers of 1 to 5 digits with +, - or *, held out of training."""
    while True:
        a, b = (rng.randrange(10 ** (n - 1), 10**n) for n in (rng.randint(1, 5), rng.randint(1, 5)))
        symbol, word = rng.choice((("+", "plus"), ("-", "minus"), ("*", "times")))
        code = f"{a} {symbol} {b}"
        if is_held_out(code):
            break
    typed = rng.choice((code, code, f"{a}{symbol}{b}", f"{a} {word} {b}"))
    user = rng.choice(LEADS).replace("{e}", typed)
    system = SystemPrompt(rng.choice(list(Effort)), "2026-01-31", python=True)
    turn = Turn("plain sums", user, (answer(f"{code} = {evaluate(code)}"),))
    return Dialogue(Setting(system, DeveloperPrompt()), (turn,))


def _is_thought(message: Message) -> bool:
    return message.role is Role.ASSISTANT and message.channel is Channel.ANALYSIS and not message.recipient


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, default=checkpoint_path())
    parser.add_argument("--dialogues", type=int, default=300)
    parser.add_argument("--seed", default="test")
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument(
        "--seen", action="store_true", help="contents as in training instead of held-out ones"
    )
    parser.add_argument("--plain-sums", action="store_true", help="only sums of two short numbers")
    parser.add_argument("--verbose", action="store_true", help="print every wrong turn on stderr")
    arguments = parser.parse_args()
    player = Player(
        load_model(arguments.checkpoint), load_tokenizer(arguments.checkpoint), arguments.temperature
    )
    report = Report()
    for i in range(arguments.dialogues):
        rng = random.Random(f"{arguments.seed}:{i}")
        if arguments.plain_sums:
            dialogue = plain_sum(rng)
        else:
            dialogue = invent_dialogue(rng, invent_setting(rng), held_out=not arguments.seen)
        report.add(player, dialogue, verbose=arguments.verbose)
    print(report.table())


if __name__ == "__main__":
    main()
