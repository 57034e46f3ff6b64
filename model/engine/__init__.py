"""The one interface the application sees of the runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gptoss_tui.model.engine.engine import (
    END,
    Constraint,
    Edge,
    Engine,
    EngineDied,
    EngineError,
    EngineInfo,
    Finished,
    Generation,
    Loading,
    Prefill,
    Sampling,
    State,
    Token,
)

if TYPE_CHECKING:
    from gptoss_tui.model.engine.local import LocalEngine

__all__ = [
    "END",
    "Constraint",
    "Edge",
    "Engine",
    "EngineDied",
    "EngineError",
    "EngineInfo",
    "Finished",
    "Generation",
    "Loading",
    "LocalEngine",
    "Prefill",
    "Sampling",
    "State",
    "Token",
]


def __getattr__(name: str) -> Any:
    # The worker process needs the words above, and not the side of the application.
    if name == "LocalEngine":
        from gptoss_tui.model.engine.local import LocalEngine

        return LocalEngine
    raise AttributeError(name)
