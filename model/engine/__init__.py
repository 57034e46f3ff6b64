"""The one interface the application sees of the runtime."""

from .engine import (
    Engine,
    EngineDied,
    EngineError,
    EngineInfo,
    Finished,
    Generation,
    Loading,
    Prefill,
    Sampling,
    Token,
)

__all__ = [
    "Engine",
    "EngineDied",
    "EngineError",
    "EngineInfo",
    "Finished",
    "Generation",
    "Loading",
    "Prefill",
    "Sampling",
    "Token",
]
