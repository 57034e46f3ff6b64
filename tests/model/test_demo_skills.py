"""What the embedded checkpoint has mastered, played through the product with its real tools.

Three held-out dialogues a category, always the same: a regression check. The figures are those of
`make demo-eval`, in the model card.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gptoss_tui.model.demo import checkpoint_path
from gptoss_tui.model.demo.categories import CATEGORIES
from gptoss_tui.model.demo.evaluate import wilson
from gptoss_tui.model.demo.trial import Trial

MASTERED = ("b sums with python", "b sums without python", "h unknown")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def trial() -> AsyncIterator[Trial]:
    trial = Trial(checkpoint_path(), threads=1)
    await trial.start()
    yield trial
    await trial.close()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("category", MASTERED)
async def test_it_does_what_it_has_mastered(trial: Trial, category: str) -> None:
    outcomes = [
        await trial.play(CATEGORIES[category](random.Random(f"regression:{category}:{i}"))) for i in range(3)
    ]
    assert sum(all(outcome.right) for outcome in outcomes) >= 2, [outcome.said for outcome in outcomes]


def test_intervals_are_wilsons() -> None:
    low, high = wilson(190, 200)
    assert (round(low, 1), round(high, 1)) == (91.0, 97.3)
    assert wilson(0, 10)[0] == pytest.approx(0, abs=1e-9)
