"""The hardware that a checkpoint would run on, found by `python -m gptoss_tui.model.engine.survey SPEC`.

Nothing is loaded. It is a process of its own, because it imports torch. SPEC is JSON with `checkpoint` (a
folder, or null) and `device`; the answer is one JSON line, a `Survey`. The speed of memory is measured in
a process, too, for the application knows no kernels.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from gptoss_tui.model.checkpoint import checkpoint_at
from gptoss_tui.model.errors import CheckpointError, EngineError
from gptoss_tui.workers.child import ChildError
from gptoss_tui.workers.parent import end_with_parent
from gptoss_tui.workers.task import result_of

PATIENCE = 120.0  # seconds; importing torch from a slow disk takes its time
_LONGEST_ANSWER = 1 << 20  # bytes


@dataclass(frozen=True, slots=True)
class Survey:
    """The result; sizes in bytes, None where unknown. `failure` says why nothing can run, or is empty.

    `kernels` says what computes on the CPU, or why it is plain PyTorch; `read_for_token` as in EngineInfo.
    """

    torch: str = ""
    device: str = ""
    kernels: str = ""
    parameters: int | None = None
    needed: int | None = None
    free: int | None = None
    read_for_token: int | None = None
    failure: str = ""


async def survey(checkpoint: Path | None, device: str) -> Survey:
    """Ask a process that may import torch. Never raises."""
    spec = json.dumps({"checkpoint": checkpoint and str(checkpoint), "device": device})
    with TemporaryDirectory() as folder:
        log = Path(folder, "survey.log")
        try:
            found = await result_of(
                "the survey", __name__, spec, most=_LONGEST_ANSWER, seconds=PATIENCE, log=log
            )
            return Survey(**json.loads(found))
        except TimeoutError:
            return Survey(failure=f"PyTorch was not imported within {PATIENCE:.0f} s.")
        except ChildError as error:
            return Survey(failure=f"{error}.")
        except (ValueError, TypeError):
            return Survey(failure=f"PyTorch does not start here: {_last_line(log)}")


async def bandwidth(threads: int) -> float | None:
    """Bytes per second at which so many threads read main memory now; None if that cannot be measured."""
    module = "gptoss_tui.kernels.bandwidth"
    try:
        return float(
            await result_of("the reader", module, str(threads), most=_LONGEST_ANSWER, seconds=PATIENCE)
        )
    except (TimeoutError, ChildError, ValueError):
        return None


def _last_line(log: Path) -> str:
    return (log.read_text(errors="replace").strip().splitlines() or ["its process ended"])[-1]


def _find(checkpoint: str | None, device: str) -> Survey:
    try:
        import torch
    except (ImportError, OSError) as error:
        return Survey(failure=f"PyTorch cannot be imported: {error}. Install gptoss-chat again.")
    from gptoss_tui.kernels.cpu import library
    from gptoss_tui.model.checkpoint.memory import available, estimate, require
    from gptoss_tui.model.engine.device import (
        choose_device,
        choose_dtype,
        describe,
        read_for_token,
        will_pack,
    )

    # "2.13.0+cpu" names its build; for a bare number, torch's own build information does.
    build = torch.__version__ if "+" in torch.__version__ else f"{torch.__version__} ({_built_for()})"
    try:
        place = choose_device(device)
    except EngineError as error:
        return Survey(build, failure=str(error))
    kernels = library.describe() if place == "cpu" else ""
    free = available(place)
    if checkpoint is None:
        return Survey(build, place, kernels, free=free)
    try:
        folder = Path(checkpoint).absolute()
        config = checkpoint_at(folder).config
        dtype = choose_dtype("auto", config)
        found = Survey(
            build,
            describe(place, dtype),
            kernels,
            config.total_parameters,
            estimate(config, dtype, packed=will_pack(place, dtype, config)),
            free,
            read_for_token(place, dtype, config),
        )
        require(folder.name, config, place, dtype)
    except CheckpointError as error:
        return Survey(build, place, kernels, free=free, failure=str(error))
    return found


def _built_for() -> str:
    import torch

    return f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU"


if __name__ == "__main__":
    end_with_parent()
    print(json.dumps(asdict(_find(**json.loads(sys.argv[1])))))
