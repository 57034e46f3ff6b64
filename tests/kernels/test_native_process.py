"""The kernels in C as a part of the process: threads, forks, the end, memory that is short or not theirs."""

from __future__ import annotations

import ctypes
import gc
import mmap
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from networks import TensorNative, converted, to_array
from numpy.typing import NDArray
from torch import Tensor

from gptoss_tui.kernels.cpu.build import Target
from gptoss_tui.kernels.kernels import NetworkWeights, Precision

TASKS = Path("/proc/self/task")

pytestmark = pytest.mark.usefixtures("native_library")
needs_linux = pytest.mark.skipif(not TASKS.exists(), reason="threads are counted in /proc")

Until = Callable[[Callable[[], object]], Awaitable[None]]


def compute(native: TensorNative) -> list[Tensor]:
    """All steps on few tokens and on many, in a window and out of it."""
    cache, out = native.new_cache(capacity=1), []
    for tokens in (20, 1, 3, 9):
        x = native.embed(torch.arange(tokens))
        for layer in range(2):
            x = native.mix(layer, native.attend(layer, x, cache))
        cache.advance(tokens)
        out += [x, native.unembed(x)]
    return out


def assert_same(found: list[Tensor], expected: list[Tensor]) -> None:
    assert all(map(torch.equal, found, expected))


def in_a_fork(work: Callable[[], None]) -> None:
    """Do `work` in a fork of this process; fails if it fails, crashes or takes a minute."""
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(60)
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.fixture
def weights(random_network: Any) -> NetworkWeights[Tensor]:
    network: NetworkWeights[Tensor] = random_network(windows=[8, None])
    return network


def tasks() -> set[Path]:
    return set(TASKS.iterdir())


@needs_linux
async def test_threads_sleep_between_calls_and_end_with_the_network(
    weights: NetworkWeights[Tensor], native_library: ctypes.CDLL, until: Until
) -> None:
    before = tasks()
    native = TensorNative(weights, native_library, 5)
    compute(native)
    started = tasks() - before
    assert len(started) == 4

    def asleep() -> bool:
        return all((task / "stat").read_text().rsplit(")")[1].split()[0] == "S" for task in started)

    await until(asleep)
    expected = compute(native)  # they wake
    await until(asleep)
    assert_same(compute(native), expected)
    del native
    gc.collect()
    await until(lambda: not started & tasks())


@needs_linux
async def test_networks_come_and_go(
    weights: NetworkWeights[Tensor], native_library: ctypes.CDLL, until: Until
) -> None:
    before = tasks()
    for _ in range(50):
        TensorNative(weights, native_library, 3)
    gc.collect()
    await until(lambda: len(tasks()) <= len(before))


def test_several_compute_at_the_same_time(
    weights: NetworkWeights[Tensor], native_library: ctypes.CDLL
) -> None:
    levels = list(Target.here().levels)
    expected = [compute(TensorNative(weights, native_library, 1, level=level)) for level in levels]

    def anew(level: str) -> list[Tensor]:
        return compute(TensorNative(weights, native_library, 2, level=level))

    with ThreadPoolExecutor(4) as pool:
        for found, right in zip(pool.map(anew, levels * 3), expected * 3, strict=True):
            assert_same(found, right)


def test_a_fork_computes_alone(weights: NetworkWeights[Tensor], native_library: ctypes.CDLL) -> None:
    native = TensorNative(weights, native_library, 4)
    expected = compute(native)

    def child() -> None:
        nonlocal native
        assert_same(compute(native), expected)
        del native
        gc.collect()
        assert_same(compute(TensorNative(weights, native_library, 4)), expected)

    in_a_fork(child)
    assert_same(compute(native), expected)


END = """
import sys, threading
sys.path.insert(0, sys.argv[1])
from networks import TensorNative, make_network
from gptoss_tui.kernels.cpu import library
import torch

native, begun = TensorNative(make_network(vocab=5000), library.load(), 3), threading.Event()

def compute(native, x, logits):  # which it holds, so that the end does not free them first
    while True:
        native.engine.unembed(native.engine.handle, x.data_ptr(), 100, logits.data_ptr())
        begun.set()

given = native, torch.randn(100, 64), torch.empty(100, 5000)
threading.Thread(target=compute, args=given, daemon=True).start()
begun.wait()
"""


def test_the_program_may_end_while_a_thread_computes() -> None:
    plugins = Path(__file__).parents[1] / "plugins"
    finished = subprocess.run([sys.executable, "-c", END, plugins], timeout=120, check=False)
    assert finished.returncode == 0


def limit_memory(more: int) -> None:
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * mmap.PAGESIZE + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


@needs_linux
def test_fewer_threads_than_asked_for(weights: NetworkWeights[Tensor], native_library: ctypes.CDLL) -> None:
    """Where there is no room for the stacks of more."""
    expected = compute(TensorNative(weights, native_library, 1))

    def child() -> None:
        limit_memory(64 << 20)
        native = TensorNative(weights, native_library, 1000)
        assert 1 <= native.engine.threads < 1000
        del native
        assert_same(compute(TensorNative(weights, native_library, 2)), expected)

    in_a_fork(child)


@needs_linux
def test_lack_of_memory_is_told_and_survived(
    weights: NetworkWeights[Tensor], native_library: ctypes.CDLL
) -> None:
    native = TensorNative(weights, native_library, 1)
    # More than the heap may hold free: 1.4 GB.
    tokens = 300_000
    expected, x, cache = compute(native), torch.randn(tokens, 64), native.new_cache(tokens)

    def child() -> None:
        limit_memory(16 << 20)
        for step in (partial(native.attend, 1, x, cache), partial(native.mix, 0, x)):
            with pytest.raises(MemoryError, match=r"tried to allocate \d+ bytes for the activations"):
                step()
        assert_same(compute(native), expected)

    in_a_fork(child)


def between_walls(tensor: Tensor, at_end: bool) -> Tensor:
    """The same values in memory of their own, at the edge of which the process may read and write nothing."""
    size, page = tensor.nbytes, mmap.PAGESIZE
    inside = -(-size // page) * page
    memory = mmap.mmap(-1, inside + 2 * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None)
    for wall in (start, start + page + inside):
        assert libc.mprotect(ctypes.c_void_p(wall), ctypes.c_size_t(page), 0) == 0
    offset = page + (inside - size if at_end else 0)
    copy = torch.frombuffer(memory, dtype=tensor.dtype, count=tensor.numel(), offset=offset)
    return copy.reshape(tensor.shape).copy_(tensor)


def walled_in(values: NDArray[Any], at_end: bool) -> NDArray[Any]:
    """`between_walls` for any array."""
    flat = between_walls(torch.from_numpy(values.view(np.uint8)), at_end)
    return to_array(flat).view(values.dtype)


@pytest.mark.parametrize("at_end", [False, True], ids=["before", "behind"])
@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"hidden": 32, "inner": 32, "heads": 5, "kv_heads": 1, "experts": 7, "vocab": 33},
        {"hidden": 96, "inner": 160, "head_dim": 96, "experts": 9, "vocab": 1},
        {"hidden": 544, "inner": 544, "heads": 3, "kv_heads": 3, "head_dim": 64, "experts": 3},
    ],
    ids=str,
)
def test_nothing_is_read_beyond_the_weights(
    shape: dict[str, Any], at_end: bool, random_network: Any, native_library: ctypes.CDLL
) -> None:
    """Weights are mapped from a file, which may end with its last page; so may the stream and the cache."""

    def child() -> None:
        weights = converted(
            random_network(windows=[8, None], **shape), lambda tensor: between_walls(tensor, at_end)
        )
        dtypes: tuple[Precision, ...] = ("bfloat16", "float32")
        for level in Target.here().levels:
            for dtype in dtypes:
                native = TensorNative(weights, native_library, 3, level=level, dtype=dtype)
                cache = native.new_cache(33)
                cache.buffers = [walled_in(buffer, at_end) for buffer in cache.buffers]
                for tokens in (1, 3, 7, 8, 13, 1):
                    x = between_walls(weights.embedding[:1].float().repeat(tokens, 1), at_end)
                    for layer in range(2):
                        native.mix(layer, native.attend(layer, x, cache))
                    cache.advance(tokens)
                    assert native.unembed(x).isfinite().all()

    in_a_fork(child)
