"""A front end of your own, at its smallest: python examples/front_end.py

An engine that plays scripts stands in for the model: no weights are read, and every run says the same. In
the second turn it dies in mid-sentence, and the conversation survives that. A LocalEngine can take its place.
"""

import asyncio

from gptoss_tui.agent.renderer import Renderer
from gptoss_tui.agent.runtime import Runtime
from gptoss_tui.agent.session import Session
from gptoss_tui.events.events import Event, OutputDelta, ReasoningDelta
from gptoss_tui.events.printable import printable
from gptoss_tui.model import load_tokenizer
from gptoss_tui.model.demo import checkpoint_path
from gptoss_tui.model.engine import EngineDied
from gptoss_tui.model.engine.fake import FakeEngine, Script
from gptoss_tui.permissions.question import Nobody

THOUGHT = "<|channel|>analysis<|message|>Two and two.<|end|><|start|>assistant"
FOUR = "<|channel|>final<|message|>It is 4.<|return|>"
DYING: Script = ["<|channel|>final<|message|>It is ", EngineDied("The engine was killed (signal 9).")]


def show(event: Event) -> None:
    """Print one line; what a model says may hold codes that act on a terminal, so it passes `printable`."""
    match event:
        case ReasoningDelta(delta) | OutputDelta(delta):
            print(f"{event.type:30} {printable(delta)!r}")
        case _:
            print(event.type)


async def main() -> None:
    tokenizer = load_tokenizer(checkpoint_path())
    engine = FakeEngine(tokenizer, THOUGHT + FOUR, DYING, FOUR)
    runtime = Runtime(engine, Renderer(checkpoint_path()), model="fake")
    session = Session(runtime, [], Nobody())
    try:
        for question in ("What is 2 + 2?", "Sure?", "Say it again."):
            print(f"\n> {question}")
            async for event in session.send(question):
                show(event)
    finally:
        await runtime.close()


if __name__ == "__main__":
    asyncio.run(main())
