"""The speed of memory, as a number that a machine can have."""

from __future__ import annotations

import pytest

from gptoss_tui.kernels.bandwidth import read_bandwidth


@pytest.mark.parametrize("threads", [1, 3])
def test_memory_is_read(threads: int) -> None:
    assert 1e8 < read_bandwidth(threads) < 1e13
