"""The skills of the embedded checkpoint, played through the product with its real tools.

Three held-out dialogues a category, always the same, of which two have to be right: a regression check.
The figures are those of `make demo-eval`, in the model card.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gptoss_tui.harmony.message import Channel
from gptoss_tui.model.demo import checkpoint_path
from gptoss_tui.training.categories import CATEGORIES, efforts
from gptoss_tui.training.evaluate import wilson
from gptoss_tui.training.trial import Trial

pytestmark = pytest.mark.usefixtures("sandbox")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def trial() -> AsyncIterator[Trial]:
    trial = Trial(checkpoint_path(), threads=1)
    await trial.start()
    yield trial
    await trial.close()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("category", CATEGORIES)
async def test_it_does_what_the_card_says(trial: Trial, category: str) -> None:
    outcomes = [
        await trial.play(CATEGORIES[category](random.Random(f"regression:{category}:{i}"))) for i in range(3)
    ]
    said = [outcome.said for outcome in outcomes]
    assert sum(all(outcome.right) for outcome in outcomes) >= 2, said
    ends = [all(turn[-1].channel is Channel.FINAL for turn in turns) for turns in said]
    assert all(ends), "no dialogue without an end"


@pytest.mark.asyncio(loop_scope="module")
async def test_at_high_effort_it_thinks_longer_and_checks(trial: Trial) -> None:
    low, medium, high = [
        await trial.play(dialogue) for dialogue in efforts(random.Random("regression:efforts"))
    ]
    assert low.reasoning_tokens < medium.reasoning_tokens < high.reasoning_tokens
    assert (low.calls, high.calls) == ([1], [2])


def test_intervals_are_wilsons() -> None:
    low, high = wilson(190, 200)
    assert (round(low, 1), round(high, 1)) == (91.0, 97.3)
    assert wilson(0, 10)[0] == pytest.approx(0, abs=1e-9)
