"""The one interface between the application and the runtime."""

from __future__ import annotations

from gptoss_tui.model.engine.engine import (
    Abilities,
    Detail,
    Engine,
    EngineDied,
    EngineInfo,
    Finished,
    Generation,
    Item,
    Loading,
    PrefillProgress,
    Request,
    Token,
)
from gptoss_tui.model.errors import EngineError
from gptoss_tui.model.sampling import Sampling

__all__ = [
    "Abilities",
    "Detail",
    "Engine",
    "EngineDied",
    "EngineError",
    "EngineInfo",
    "Finished",
    "Generation",
    "Item",
    "Loading",
    "PrefillProgress",
    "Request",
    "Sampling",
    "Token",
]
