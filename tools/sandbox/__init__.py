"""Sandboxes for untrusted code: a ladder of them, tried from the top, and a launcher that applies one."""

from .ladder import Confinement, Failure, probe
from .launch import GuardedProgram, SandboxKind, launch
from .view import SharedFolder

__all__ = ["Confinement", "Failure", "GuardedProgram", "SandboxKind", "SharedFolder", "launch", "probe"]
