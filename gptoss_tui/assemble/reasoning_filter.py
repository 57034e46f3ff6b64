"""From the setting to the filter."""

from __future__ import annotations

from pathlib import Path

from ..agent.filters.filter import FilterError, ReasoningFilter
from ..agent.filters.function import FunctionFilter, check_function
from ..model.checkpoint import Checkpoint, open_checkpoint
from ..model.errors import CheckpointError
from ..settings import Settings


def open_filter(settings: Settings) -> ReasoningFilter | None:
    """The filter that the settings name, nothing loaded yet; raises FilterError."""
    from ..agent.filters.judge import Judge
    from ..agent.renderer import Renderer
    from ..model.engine.local import LocalEngine

    named = settings.reasoning_filter
    if named is None:
        return None
    if function := _function(named):
        check_function(*function)
        return FunctionFilter(*function)
    checkpoint = _judging(named).path
    engine = LocalEngine(checkpoint, name=named, device=settings.device, threads=settings.threads)
    return Judge(engine, Renderer(checkpoint), settings.reasoning_policy)


def check_filter(named: str) -> None:
    """Raise FilterError for what can be said at once against the filter `named`."""
    if function := _function(named):
        check_function(*function)
    else:
        _judging(named)


def _judging(named: str) -> Checkpoint:
    """The checkpoint of the model that judges; raises FilterError if there is none."""
    if named.endswith(".py"):
        raise FilterError(f"{named}: name the function as well, as in {named}:look")
    try:
        return open_checkpoint(named)
    except CheckpointError as error:
        why = "The reasoning filter is neither FILE.py:FUNCTION nor a checkpoint"
        raise FilterError(f"{why}: {error}") from None


def _function(named: str) -> tuple[Path, str] | None:
    """The file and the function, unless `named` is the folder of a checkpoint."""
    path, colon, function = named.rpartition(":")
    return (Path(path), function) if colon and function.isidentifier() else None
