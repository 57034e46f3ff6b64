"""What an argument of a call is, and so when a pattern in one of the person's rules covers it.

A kind is a function of a pattern and a value: True where the pattern covers the value, False where it does
not, None where that is in doubt. A rule that denies or asks takes doubt for a yes, one that allows for a no.
"""

from __future__ import annotations

from collections.abc import Callable

Kind = Callable[[str, str], bool | None]
