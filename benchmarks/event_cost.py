"""What a sampled token costs on its way from the engine to a front end: `python benchmarks/event_cost.py`.

An engine that plays a script answers through a real Session, with nobody reading but this loop; the same
script is read from the engine alone. Both are measured side by side, again and again, and the best of each
counts: what else the machine does only ever adds. Times are of the processor, in microseconds a token.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time

import tiktoken

from gptoss_tui.agent.renderer import Renderer
from gptoss_tui.agent.runtime import Runtime
from gptoss_tui.agent.session import Session
from gptoss_tui.model.checkpoint import open_checkpoint
from gptoss_tui.model.engine import Request, Sampling
from gptoss_tui.model.engine.fake import FakeEngine
from gptoss_tui.permissions.question import Nobody

ANSWER = "<|channel|>final<|message|>{}<|return|>"
THOUGHT = "<|channel|>analysis<|message|>{}<|end|>"
SCRIPTS = {"final": ANSWER, "analysis": f"{THOUGHT}<|start|>assistant{ANSWER.format('x')}"}


def text(tokens: int, tokenizer: tiktoken.Encoding) -> str:
    """About so many tokens of words and numbers that do not repeat themselves."""
    dice = random.Random(0)
    words = [
        "the",
        "quick",
        "brown",
        "fox",
        "jumps",
        "over",
        "a",
        "lazy",
        "dog",
        "while",
        "nobody",
        "looks",
        "and",
        "then",
        "goes",
        "home",
    ]
    spoken = " ".join(f"{dice.choice(words)} {dice.randrange(10**6)}" for _ in range(tokens))
    return tokenizer.decode(tokenizer.encode_ordinary(spoken)[:tokens])


async def measure(script: str, rounds: int) -> tuple[float, float]:
    """Microseconds a token through a session, and from the engine alone."""
    checkpoint = open_checkpoint("demo")
    tokenizer = checkpoint.tokenizer()
    engine = FakeEngine(tokenizer, context=1 << 20)
    session = Session(Runtime(engine, Renderer(checkpoint.path), model="fake"), (), Nobody())
    async for _ in session.load():
        pass
    tokens = len(tokenizer.encode(script, allowed_special="all"))
    through, alone = [], []
    for _ in range(rounds):
        engine.scripts = [script, script]
        start = time.process_time()
        async for _ in session.send("hi"):
            pass
        through.append(time.process_time() - start)
        start = time.process_time()
        async for _ in engine.generate(Request((1, 2), Sampling())):
            pass
        alone.append(time.process_time() - start)
    await session.runtime.close()
    return min(through) / tokens * 1e6, min(alone) / tokens * 1e6


def main() -> None:
    """Print one line for each channel."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=25)
    given = parser.parse_args()
    tokenizer = open_checkpoint("demo").tokenizer()
    for channel, form in SCRIPTS.items():
        script = form.format(text(given.tokens, tokenizer))
        through, alone = asyncio.run(measure(script, given.rounds))
        print(f"{channel:9} {through:6.1f} us a token to the front end, {alone:5.1f} from the engine alone")


if __name__ == "__main__":
    main()
