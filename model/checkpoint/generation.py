"""What a checkpoint's generation_config.json says of its answers.

Only the length: stop tokens are never taken from it (early downloads of gpt-oss lack one), and sampling is
the person's.
"""

from __future__ import annotations

import json
from pathlib import Path


def longest_answer(folder: Path) -> int | None:
    """`max_new_tokens`: after so many tokens an answer of this model has gone astray; None if not stated."""
    try:
        stated = json.loads((folder / "generation_config.json").read_bytes())
        limit = stated.get("max_new_tokens")
    except (OSError, ValueError, AttributeError):
        return None  # an optional file: nothing depends on it
    return limit if isinstance(limit, int) and not isinstance(limit, bool) and limit > 0 else None
