"""The local engine: a real worker process on a real tiny checkpoint."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
import sys
from asyncio import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
import torch

from gptoss_tui.model import load_model
from gptoss_tui.model.config import GPT_OSS_20B
from gptoss_tui.model.engine import (
    EngineDied,
    EngineError,
    Finished,
    Loading,
    PrefillProgress,
    Request,
    Sampling,
    Token,
)
from gptoss_tui.model.engine.device import choose_device, choose_dtype
from gptoss_tui.model.engine.local import LocalEngine

Until = Callable[[Callable[[], object]], Awaitable[None]]

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROMPT = [(7 * n) % 320 for n in range(40)]
LONG = [(11 * n) % 320 for n in range(4000)]
GREEDY = Sampling(temperature=0, max_tokens=5)
ENDLESS = Sampling(temperature=0)
ASKED = Request(tuple(PROMPT), ENDLESS)


@pytest.fixture(scope="module")
def checkpoint(tiny_checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("tiny"), num_hidden_layers=2)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(checkpoint: Path) -> AsyncIterator[LocalEngine]:
    """One engine for all tests that leave it usable, as they should."""
    engine = LocalEngine(checkpoint, name="tiny", threads=1, log=checkpoint / "logs" / "engine.log")
    yield engine
    await engine.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tireless(
    tiny_checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[LocalEngine]:
    """An engine that, unless it is stopped, writes for longer than any test may take."""
    folder = tmp_path_factory.mktemp("tireless")
    tiny_checkpoint(folder, num_hidden_layers=2, max_position_embeddings=1_000_000)
    engine = LocalEngine(folder, name="tireless", threads=1, log=folder / "engine.log")
    yield engine
    await engine.close()


async def run(
    engine: LocalEngine,
    prompt: list[int] = PROMPT,
    sampling: Sampling = GREEDY,
    stop_ids: tuple[int, ...] = (),
) -> tuple[list[Token], list[PrefillProgress], Finished]:
    items = [item async for item in engine.generate(Request(tuple(prompt), sampling, stop_ids))]
    prefills = [item for item in items if isinstance(item, PrefillProgress)]
    tokens = [item for item in items if isinstance(item, Token)]
    assert isinstance(items[-1], Finished)
    assert [*prefills, *tokens, items[-1]] == items
    return tokens, prefills, items[-1]


async def python(script: str, given: bytes = b"") -> tuple[int | None, bytes, bytes]:
    """Run `script`: exit status, stdout, stderr."""
    pipe = subprocess.PIPE
    process = await subprocess.create_subprocess_exec(
        sys.executable, "-c", script, stdin=pipe, stdout=pipe, stderr=pipe
    )
    out, err = await process.communicate(given)
    return process.returncode, out, err


def address_space(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()


def cut_short(checkpoint: Path, folder: Path) -> Path:
    """A copy of `checkpoint` whose weights lack their last byte."""
    shutil.copytree(checkpoint, folder)
    os.truncate(folder / "model.safetensors", (folder / "model.safetensors").stat().st_size - 1)
    return folder


async def load_error(folder: Path, **options: object) -> str:
    engine = LocalEngine(folder, name="bad", log=folder.parent / "engine.log", **options)  # type: ignore[arg-type]
    try:
        with pytest.raises(EngineError) as caught:
            async for _ in engine.load():
                pass
        assert not isinstance(caught.value, EngineDied)
        return str(caught.value)
    finally:
        await engine.close()


async def test_loading_reports_bytes_and_says_what_was_loaded(engine: LocalEngine, checkpoint: Path) -> None:
    assert engine.info() is None
    progress = [item async for item in engine.load()]
    assert progress[0] == Loading("Starting", 0, 0)
    bytes_done = [item.done for item in progress[1:]]
    assert bytes_done == sorted(bytes_done)
    stored = (checkpoint / "model.safetensors").stat().st_size
    assert 0.9 * stored < progress[-1].done == progress[-1].total < stored
    info = engine.info()
    assert info is not None
    assert (info.model, info.device, info.context) == ("tiny", "CPU, 1 thread, float32", 4096)
    assert info.parameters == load_model(checkpoint).config.total_parameters
    assert [item async for item in engine.load()] == []


async def test_greedy_is_the_argmax_of_the_network(engine: LocalEngine, checkpoint: Path) -> None:
    tokens, prefills, finished = await run(engine)
    network, ids = load_model(checkpoint, dtype="float32"), list(PROMPT)
    for token in tokens:
        logits = torch.from_numpy(network(ids)[-1])
        assert token.id == int(logits.argmax())
        assert token.logprob == pytest.approx(float(logits.log_softmax(0)[token.id]), abs=1e-4)
        ids.append(token.id)
    assert len(tokens) == 5
    assert finished.reason == "length"
    assert finished.prefill_s > 0 < finished.decode_s
    assert prefills[-1].done == prefills[-1].total == 40


async def test_a_stop_id_is_the_last_token(engine: LocalEngine) -> None:
    ids = [token.id for token in (await run(engine))[0]]
    tokens, _, finished = await run(engine, sampling=ENDLESS, stop_ids=(ids[3], 10**6))
    assert [token.id for token in tokens] == ids[: ids.index(ids[3]) + 1]
    assert finished.reason == "stop"


async def test_equal_seeds_give_equal_answers(engine: LocalEngine) -> None:
    first, second, other = [
        (await run(engine, sampling=Sampling(temperature=1.5, seed=seed, max_tokens=12)))[0]
        for seed in (5, 5, 6)
    ]
    assert [t.id for t in first] == [t.id for t in second] != [t.id for t in other]


async def test_what_was_read_before_is_not_read_again(engine: LocalEngine, checkpoint: Path) -> None:
    await run(engine, PROMPT)
    tokens, prefills, _ = await run(engine, PROMPT + LONG[:30])
    assert prefills[0] == PrefillProgress(39, 70, 39)
    network = load_model(checkpoint, dtype="float32")
    assert tokens[0].id == int(network(PROMPT + LONG[:30])[-1].argmax())


async def test_cancel_while_reading(engine: LocalEngine) -> None:
    items = []
    generation = engine.generate(Request(tuple(LONG), ENDLESS))
    async for item in generation:
        items.append(item)
        if isinstance(item, PrefillProgress) and item.done:
            generation.cancel()
    assert isinstance(items[-1], Finished)
    assert items[-1].reason == "cancelled"
    assert not any(isinstance(item, Token) for item in items)
    assert (await run(engine))[2].reason == "length"


async def test_cancel_while_writing(tireless: LocalEngine) -> None:
    expected = (await run(tireless))[0]
    tokens: list[Token] = []
    generation = tireless.generate(ASKED)
    async for item in generation:
        if isinstance(item, Token):
            tokens.append(item)
            if len(tokens) == 3:
                generation.cancel()
                generation.cancel()
    assert isinstance(item, Finished)
    assert item.reason == "cancelled"
    assert [t.id for t in tokens[:5]] == [t.id for t in expected[: len(tokens)]]
    generation.cancel()  # it has ended: nothing happens, to the next one neither
    assert [t.id for t in (await run(tireless))[0]] == [t.id for t in expected]


async def test_an_iterator_left_early_cancels(tireless: LocalEngine) -> None:
    expected = (await run(tireless))[0]
    async with aclosing(tireless.generate(ASKED)) as generation:
        async for item in generation:
            if isinstance(item, Token):
                break
    assert [t.id for t in (await run(tireless))[0]] == [t.id for t in expected]


async def test_a_cancelled_task_cancels(tireless: LocalEngine) -> None:
    expected = (await run(tireless))[0]
    begun = asyncio.Event()

    async def write() -> None:
        async for item in tireless.generate(ASKED):
            if isinstance(item, Token):
                begun.set()

    task = asyncio.create_task(write())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [t.id for t in (await run(tireless))[0]] == [t.id for t in expected]


async def test_generations_wait_for_each_other(engine: LocalEngine) -> None:
    prompts = [PROMPT[:n] for n in (10, 20, 30)]
    alone = [[t.id for t in (await run(engine, prompt))[0]] for prompt in prompts]
    together = await asyncio.gather(*(run(engine, prompt) for prompt in prompts))
    assert [[t.id for t in tokens] for tokens, _, _ in together] == alone


async def test_ctrl_c_is_not_the_workers_business(engine: LocalEngine) -> None:
    assert engine.pid is not None
    os.kill(engine.pid, signal.SIGINT)
    assert len((await run(engine))[0]) == 5


async def test_death_is_told_and_survived(engine: LocalEngine) -> None:
    expected = (await run(engine))[0]
    with pytest.raises(EngineDied, match=r"engine stopped \(signal 9, probably out of memory\)"):
        async for item in engine.generate(ASKED):
            if isinstance(item, Token) and (pid := engine.pid):
                os.kill(pid, signal.SIGKILL)
    assert [t.id for t in (await run(engine))[0]] == [t.id for t in expected]


async def test_refusals_leave_the_engine_usable(engine: LocalEngine) -> None:
    for prompt, sampling, complaint in (
        ([], GREEDY, "empty"),
        ([320], GREEDY, "outside 0 to 319"),
        (LONG + PROMPT + LONG, GREEDY, "8,040 tokens and the context holds 4,096"),
        (PROMPT, Sampling(temperature=-1), "temperature must be"),
    ):
        with pytest.raises(EngineError, match=complaint):
            await run(engine, prompt, sampling)
    assert len((await run(engine))[0]) == 5


async def test_lack_of_memory_is_told_with_figures_and_survived(
    tiny_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    """A chunk of many wide heads needs far more than is left, on any backend."""
    folder = tiny_checkpoint(tmp_path / "wide", num_hidden_layers=2, head_dim=256, num_key_value_heads=4)
    engine = LocalEngine(folder, name="wide", threads=1, log=tmp_path / "engine.log")
    expected = (await run(engine))[0]
    assert engine.pid is not None
    ceiling = address_space(engine.pid) + (4 << 20)
    hard = resource.prlimit(engine.pid, resource.RLIMIT_AS, (ceiling, resource.RLIM_INFINITY))[1]
    with pytest.raises(EngineError, match=r"Not enough memory on cpu \(.* GiB free, .* asked for\)"):
        await run(engine, LONG)
    resource.prlimit(engine.pid, resource.RLIMIT_AS, (hard, hard))
    assert [t.id for t in (await run(engine))[0]] == [t.id for t in expected]
    await engine.close()


async def test_closing_ends_the_process_and_the_next_call_starts_one(
    checkpoint: Path, alive: Callable[[int], bool]
) -> None:
    engine = LocalEngine(checkpoint, name="tiny", threads=1, log=checkpoint / "engine.log")
    await engine.close()
    async for _ in engine.load():  # left while it starts
        break
    generation = engine.generate(ASKED)
    asyncio.get_running_loop().call_later(0.05, generation.cancel)
    assert [item async for item in generation] == [Finished("cancelled", 0, 0)]
    first = engine.pid
    assert first is not None
    await engine.close()
    assert not alive(first)
    assert len((await run(engine))[0]) == 5
    assert engine.pid not in (None, first)
    await engine.close()


async def test_numbers_that_are_none_are_told(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tiny_checkpoint(tmp_path / "nan", num_hidden_layers=1)
    tensors = load_file(folder / "model.safetensors")
    tensors["lm_head.weight"].fill_(3e38)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    engine = LocalEngine(folder, name="nan", log=tmp_path / "engine.log")
    for _ in range(2):
        with pytest.raises(EngineError, match=r"Numerical fault on cpu: 320 logits are NaN"):
            await run(engine)
    await engine.close()


async def test_checkpoints_that_cannot_be_used(checkpoint: Path, tmp_path: Path) -> None:
    assert "config.json: no such file" in await load_error(tmp_path / "missing")
    cut = cut_short(checkpoint, tmp_path / "cut")
    with pytest.raises(Exception, match=r"model\.safetensors") as direct:
        load_model(cut)
    assert await load_error(cut) == str(direct.value)


async def test_a_context_beyond_the_model_is_refused(checkpoint: Path) -> None:
    told = "The context must be from 2 to 4,096 tokens for this model, not 4,097."
    assert await load_error(checkpoint, context=4097) == told


async def test_devices_and_dtypes() -> None:
    with pytest.raises(EngineError, match=r"There is no device 'npu' here. There is: auto, cpu"):
        choose_device("npu")
    with pytest.raises(EngineError, match=r"There is no dtype 'float16'"):
        choose_dtype("float16", GPT_OSS_20B)
    assert choose_device("cpu") == "cpu"
    assert choose_device("auto") == ("cuda:0" if torch.cuda.is_available() else "cpu")
    assert choose_dtype("auto", GPT_OSS_20B) == "bfloat16"
    assert (
        choose_dtype(
            "auto",
            replace(GPT_OSS_20B, vocab_size=4096, num_hidden_layers=1, layer_types=("full_attention",)),
        )
        == "float32"
    )


async def test_the_worker_dies_with_the_application(
    checkpoint: Path, alive: Callable[[int], bool], until: Until
) -> None:
    script = f"""
import asyncio, os
from pathlib import Path
from gptoss_tui.model.engine import Request, Sampling, Token
from gptoss_tui.model.engine.local import LocalEngine

async def main():
    folder = Path({str(checkpoint)!r})
    engine = LocalEngine(folder, name="tiny", threads=1, log=folder / "engine.log")
    async for item in engine.generate(Request((1, 2, 3), Sampling())):
        if isinstance(item, Token):
            print(engine.pid, flush=True)
            os.kill(os.getpid(), 9)

asyncio.run(main())
"""
    status, worker, _ = await python(script)
    assert status == -signal.SIGKILL
    await until(lambda: not alive(int(worker)))


async def test_the_applications_side_is_free_of_torch() -> None:
    script = """
import sys
import gptoss_tui.model.engine.local
assert not {"torch", "numpy", "tiktoken", "safetensors"} & set(sys.modules)
"""
    assert await python(script) == (0, b"", b"")


async def test_threads_respect_the_affinity_and_the_environment() -> None:
    script = """
import os
from gptoss_tui.model.cores import default_threads

os.environ.pop("OMP_NUM_THREADS", None)
assert 1 <= default_threads() <= os.cpu_count()
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
assert default_threads() == 1
os.environ["OMP_NUM_THREADS"] = "3"
assert default_threads() == 3
"""
    assert await python(script) == (0, b"", b"")
