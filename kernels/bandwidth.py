"""The speed at which this machine reads memory, which bounds how fast a token can be computed on its CPU.

`python -m gptoss_tui.kernels.bandwidth THREADS` prints it, in bytes per second.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

import numpy as np

_SIZE = 256 << 20  # bytes in all, and at least `_SHARE` a thread: more than caches hold
_SHARE = 32 << 20
_PASSES = 9


def read_bandwidth(threads: int) -> float:
    """Bytes per second that so many threads read together, each its own part in order; the best of 9 passes.

    Takes 256 MiB of memory (more from 9 threads on) and about 0.2 s.
    """
    size = max(_SIZE // threads, _SHARE)
    parts = [np.ones(size // 8, np.int64) for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        return max(_pass(pool, parts) for _ in range(_PASSES))


def _pass(pool: ThreadPoolExecutor, parts: list[np.ndarray[tuple[int], np.dtype[np.int64]]]) -> float:
    start = perf_counter()
    list(pool.map(np.bitwise_or.reduce, parts))
    return sum(part.nbytes for part in parts) / (perf_counter() - start)


if __name__ == "__main__":
    print(read_bandwidth(int(sys.argv[1])))
