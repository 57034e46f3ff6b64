"""Functions that a model may call: gptoss-chat --functions examples/functions.py

Every public function here becomes a tool. Its type hints are the schema, its docstring the description.
You are asked before each call, unless the function says `approval = "never"`.
"""

import random
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Literal


@dataclass
class WordCount:
    """What `word_count` found."""

    words: int
    characters: int
    lines: int


def word_count(text: str) -> WordCount:
    """Counts the words, characters and lines of a text.

    Args:
        text: The text to count.
    """
    return WordCount(words=len(text.split()), characters=len(text), lines=len(text.splitlines()))


def days_between(start: date, end: date, inclusive: bool = False) -> int:
    """Counts the days from one date to another; negative when the second comes first.

    Args:
        start: The first date, as YYYY-MM-DD.
        end: The second date, as YYYY-MM-DD.
        inclusive: Count the last day as well.
    """
    days = (end - start).days
    return days + 1 if inclusive else days


def roll_dice(
    count: Annotated[int, "How many dice, 1 to 100."] = 1,
    sides: Literal[4, 6, 8, 10, 12, 20] = 6,
) -> list[int]:
    """Rolls dice and returns what each shows."""
    if not 1 <= count <= 100:
        raise ValueError("count must be between 1 and 100")
    return [random.randint(1, sides) for _ in range(count)]


# These only compute, so the model may call them unasked. roll_dice asks, to show what that looks like.
word_count.approval = "never"
days_between.approval = "never"
