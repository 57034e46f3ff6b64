"""The reasoning filter that the settings ask for."""

from __future__ import annotations

from pathlib import Path

from ..agent.filters.filter import FilterError, ReasoningFilter
from ..agent.filters.function import FunctionFilter, check_function
from ..model.checkpoint import Checkpoint, open_checkpoint
from ..model.errors import CheckpointError
from ..settings import Settings


def open_filter(settings: Settings) -> ReasoningFilter | None:
    """The filter that the settings name, with nothing loaded yet; raises FilterError."""
    from ..agent.filters.judge import Judge
    from ..agent.renderer import Renderer
    from ..model.engine.local import LocalEngine

    setting = settings.reasoning_filter
    if setting is None:
        return None
    if function := _function(setting):
        check_function(*function)
        return FunctionFilter(*function)
    checkpoint = _judging(setting).path
    engine = LocalEngine(
        checkpoint,
        name=setting,
        device=settings.device,
        threads=settings.threads,
        speculate=settings.speculate,
    )
    return Judge(engine, Renderer(checkpoint), settings.reasoning_policy)


def check_filter(setting: str) -> None:
    """Check the filter `setting` before anything is loaded; raises FilterError."""
    if function := _function(setting):
        check_function(*function)
    else:
        _judging(setting)


def _judging(setting: str) -> Checkpoint:
    """The checkpoint of the model that judges; raises FilterError if there is none."""
    if setting.endswith(".py"):
        raise FilterError(f"{setting}: name the function as well, as in {setting}:look")
    try:
        return open_checkpoint(setting)
    except CheckpointError as error:
        why = "The reasoning filter is neither FILE.py:FUNCTION nor a checkpoint"
        raise FilterError(f"{why}: {error}") from None


def _function(setting: str) -> tuple[Path, str] | None:
    """The file and the function; None when `setting` is a checkpoint."""
    path, colon, function = setting.rpartition(":")
    return (Path(path), function) if colon and function.isidentifier() else None
