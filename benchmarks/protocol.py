"""How a player of the benchmark is spoken to: a line of JSON in, a line of JSON out, one after the other.

A request is `{METHOD: [ARGUMENT, ...]}`, and its answer is what that method of the player returns. All
players have `about()`, `logits(IDS, FILE)` and `play(IDS, STEPS)`. Between two requests a player waits on its
input and takes no processor time.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def serve(player: Any) -> None:
    """Answer requests until the input ends; the first line out says that the player is ready."""
    # Whatever a library prints goes to stderr.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    print(json.dumps({"ready": True}), file=answers)
    for line in sys.stdin:
        [(name, arguments)] = json.loads(line).items()
        print(json.dumps(getattr(player, name)(*arguments)), file=answers)
