"""Kinds of arguments: an argument's kind decides when a pattern in one of the person's rules covers it.

A kind is a function of a pattern and a value: True where the pattern covers the value, False where it does
not, None where that is in doubt. Doubt counts as yes for a rule that denies or asks, and as no for a rule
that allows.
"""

from __future__ import annotations

from collections.abc import Callable

Kind = Callable[[str, str], bool | None]
