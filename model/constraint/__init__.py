"""Constrained sampling: the tokens that a Constraint allows at each step of a sample.

Importing this package costs nothing: llguidance is imported with the first JSON Schema, torch never.
"""

from __future__ import annotations

from .constraint import END, Constraint, Edge, State
from .schema import unsupported

__all__ = ["END", "Constraint", "Edge", "State", "unsupported"]
