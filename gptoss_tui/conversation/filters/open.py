"""From the setting to the filter."""

from __future__ import annotations

from pathlib import Path

from ...model.checkpoint import open_checkpoint
from ...model.errors import CheckpointError
from ...settings import Settings
from .filter import FilterError, ReasoningFilter
from .function import FunctionFilter, missing


def open_filter(settings: Settings) -> ReasoningFilter | None:
    """The filter that the settings name, nothing loaded yet; raises FilterError."""
    from ...model.engine.local import LocalEngine
    from ..codec import Codec
    from .judge import Judge

    named = settings.reasoning_filter
    if named is None:
        return None
    if reason := hopeless(named):
        raise FilterError(reason)
    if function := _function(named):
        return FunctionFilter(*function)
    checkpoint = open_checkpoint(named).path
    engine = LocalEngine(checkpoint, name=named, device=settings.device, threads=settings.threads)
    return Judge(engine, Codec(checkpoint), settings.reasoning_policy)


def hopeless(named: str) -> str:
    """What can be said at once against the filter `named`; empty if nothing."""
    if function := _function(named):
        return missing(*function)
    if named.endswith(".py"):
        return f"{named}: name the function as well, as in {named}:look"
    try:
        open_checkpoint(named)
    except CheckpointError as error:
        return f"The reasoning filter is neither FILE.py:FUNCTION nor a checkpoint: {error}"
    return ""


def _function(named: str) -> tuple[Path, str] | None:
    """The file and the function, unless `named` is the folder of a checkpoint."""
    path, colon, function = named.rpartition(":")
    return (Path(path), function) if colon and function.isidentifier() else None
