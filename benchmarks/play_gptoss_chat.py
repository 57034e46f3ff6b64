"""gptoss-chat as a player (see protocol.py): `python play_gptoss_chat.py CHECKPOINT CONTEXT`.

It runs what the engine's process runs: the decoder, with the drawing of every token at temperature 1.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from protocol import serve

from gptoss_tui import __version__
from gptoss_tui.model.checkpoint import checkpoint_at
from gptoss_tui.model.engine.decoder import Decoder
from gptoss_tui.model.engine.device import choose_dtype
from gptoss_tui.model.engine.engine import Request, Token
from gptoss_tui.model.load import load_network
from gptoss_tui.model.sampling import Sampling


class GptossChat:
    """One model with the cache of its last prompt."""

    def __init__(self, checkpoint: Path, context: int) -> None:
        found = checkpoint_at(checkpoint)
        self._network = load_network(found, "cpu", choose_dtype("auto", found.config))
        self._decoder = Decoder(self._network, context)

    def about(self) -> dict[str, Any]:
        """Its name, and the bytes of a dense weight as it is read, and of one of the unembedding."""
        kernels = self._network.kernels
        return {
            "name": f"gptoss-chat {__version__}",
            "weight_bytes": [kernels.dense_bytes, kernels.unembedding_bytes],
        }

    def logits(self, ids: list[int], file: str) -> dict[str, Any]:
        """Save the logits float32 [tokens, vocabulary] of every token of a prompt."""
        np.save(file, self._network(ids))
        return {}

    def play(self, ids: list[int], steps: int) -> dict[str, Any]:
        """Read a prompt and take steps after it; the seconds until the first token, and of each step."""
        request = Request(tuple(ids), Sampling(seed=0, max_tokens=steps + 1))
        start = perf_counter()
        times = [
            perf_counter()
            for item in self._decoder.generate(request, lambda: False)
            if isinstance(item, Token)
        ]
        steps = [after - before for before, after in pairwise(times)]
        return {"read_s": times[0] - start, "steps_s": steps}


if __name__ == "__main__":
    serve(GptossChat(Path(sys.argv[1]), int(sys.argv[2])))
