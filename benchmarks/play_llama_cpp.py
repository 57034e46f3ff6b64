"""llama.cpp as a player (see protocol.py): `python play_llama_cpp.py FILE.gguf CONTEXT THREADS`.

It runs as llama.cpp's own benchmark does: with its defaults, and on tokens that nobody has drawn, so that a
step costs it no sampling.
"""

from __future__ import annotations

import ctypes
import sys
from time import perf_counter
from typing import Any

import llama_cpp as llama
import numpy as np
from protocol import serve

CHUNK = 512


@llama.llama_log_callback
def _say_nothing(_level: int, _text: bytes, _data: Any) -> None:
    pass


class LlamaCpp:
    """One model with one sequence in its memory."""

    def __init__(self, file: str, context: int, threads: int) -> None:
        llama.llama_log_set(_say_nothing, ctypes.c_void_p(0))
        llama.llama_backend_init()
        self._model = llama.llama_model_load_from_file(file.encode(), llama.llama_model_default_params())
        if not self._model:
            sys.exit(f"llama.cpp cannot load {file}")
        options = llama.llama_context_default_params()
        options.n_ctx = context
        options.n_threads = options.n_threads_batch = threads
        self._context = llama.llama_init_from_model(self._model, options)
        self._memory = llama.llama_get_memory(self._context)
        self._vocabulary = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(self._model))
        self._ids: list[int] = []

    def about(self) -> dict[str, Any]:
        """Its name, and the bytes of a dense weight, in the unembedding too: Q8_0 has 34 for 32 of them."""
        return {"name": f"llama-cpp-python {llama.__version__}", "weight_bytes": [34 / 32, 34 / 32]}

    def logits(self, ids: list[int], file: str) -> dict[str, Any]:
        """Save the logits float32 [tokens, vocabulary] of every token of a prompt."""
        self._rewind([])
        batch = llama.llama_batch_init(len(ids), 0, 1)
        batch.n_tokens = len(ids)
        for place, token in enumerate(ids):
            batch.token[place], batch.pos[place] = token, place
            batch.n_seq_id[place], batch.seq_id[place][0], batch.logits[place] = 1, 0, 1
        self._check(llama.llama_decode(self._context, batch))
        np.save(file, np.stack([self._row(place) for place in range(len(ids))]))
        llama.llama_batch_free(batch)
        self._ids = list(ids)
        return {}

    def play(self, ids: list[int], steps: int) -> dict[str, Any]:
        """Read a prompt and take steps after it; the seconds until the first token, and of each step."""
        start = perf_counter()
        self._rewind(ids)
        for first in range(len(self._ids), len(ids), CHUNK):
            self._read(ids[first : first + CHUNK])
        read = perf_counter()
        random = np.random.default_rng(0)
        taken = []
        for token in random.integers(self._vocabulary, size=steps).tolist():
            start_of_step = perf_counter()
            self._read([token])
            taken.append(perf_counter() - start_of_step)
        return {"read_s": read - start, "steps_s": taken}

    def _rewind(self, ids: list[int]) -> None:
        """Keep what the memory has in common with a prompt, but never its last token."""
        pairs = zip(self._ids, ids[:-1], strict=False)
        shared = next(
            (place for place, (a, b) in enumerate(pairs) if a != b), min(len(self._ids), max(0, len(ids) - 1))
        )
        if not llama.llama_memory_seq_rm(self._memory, 0, shared, -1):
            llama.llama_memory_clear(self._memory, True)
            shared = 0
        del self._ids[shared:]

    def _read(self, ids: list[int]) -> None:
        row = (llama.llama_token * len(ids))(*ids)
        self._check(llama.llama_decode(self._context, llama.llama_batch_get_one(row, len(ids))))
        llama.llama_get_logits_ith(self._context, -1)  # waits until they are computed
        self._ids += ids

    def _row(self, place: int) -> np.ndarray[Any, Any]:
        row = llama.llama_get_logits_ith(self._context, place)
        return np.ctypeslib.as_array(row, (self._vocabulary,)).copy()

    def _check(self, failure: int) -> None:
        if failure:
            sys.exit(f"llama_decode failed with {failure}")


if __name__ == "__main__":
    serve(LlamaCpp(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
