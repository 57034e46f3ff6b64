"""The memory that a loaded checkpoint takes, as the system counts it in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gptoss_tui.model.checkpoint import checkpoint_at
from gptoss_tui.model.config import mxfp4_bytes

SHAPE = {
    "vocab_size": 12_000,
    "hidden_size": 512,
    "intermediate_size": 512,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "head_dim": 64,
    "num_local_experts": 32,
    "num_experts_per_tok": 4,
}
SLACK = 5 << 20  # what the interpreter takes meanwhile

LOADED = """
import json, random, sys
from pathlib import Path
from gptoss_tui.model.checkpoint import checkpoint_at
from gptoss_tui.model.load import load_network

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon:"))

def mapped():
    total, ours = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split()[0]:
            ours = line.endswith(".safetensors")
        elif line.startswith("Rss:") and ours:
            total += int(line.split()[1]) << 10
    return total

load_network(checkpoint_at(sys.argv[2]), "cpu")([1])  # what is imported and made once
told = {"before": resident()}
network = load_network(checkpoint_at(sys.argv[1]), "cpu")
told |= {"loaded": resident(), "mapped": mapped(), "backend": network.backend}
cache = network.new_cache(1024)
network.read(random.Random(0).choices(range(100), k=300), cache)
for token in range(4):
    network.kernels.sample(network.read([token], cache), 1.0, 1.0, [token])
activations = network.kernels.engine.room(network.kernels.engine.handle, 300)
print(json.dumps(told | {"read": resident() - activations, "mapped when read": mapped()}))
"""


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="memory is counted in /proc")
def test_weights_are_in_memory_once(
    tmp_path: Path, tiny_checkpoint: Callable[..., Path], native_library: object
) -> None:
    """Experts where their file is mapped, other matrices in 12 bits, and the unembedding in 8.

    The rest of the file is let go, but for the rows of the unembedding that may be drawn.
    """
    folder = tiny_checkpoint(tmp_path / "checkpoint", **SHAPE)
    other = tiny_checkpoint(tmp_path / "tiny")
    arguments = [sys.executable, "-c", LOADED, str(folder), str(other)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300, check=True)
    told = json.loads(done.stdout)
    config, file = checkpoint_at(folder).config, (folder / "model.safetensors").stat().st_size
    experts = mxfp4_bytes(config.num_hidden_layers * config.num_local_experts * config.expert_matrices)
    unembedding = config.vocab_size * config.hidden_size
    packed = unembedding + 3 * config.num_hidden_layers * config.attention_parameters // 2
    assert told["backend"] == "native" and experts > 2 * SLACK, "or this test tells nothing"
    assert packed < told["loaded"] - told["before"] < packed + SLACK
    assert told["mapped"] < SLACK
    assert told["read"] - told["before"] < packed + 2 * SLACK
    assert experts < told["mapped when read"] < file - 2 * unembedding, "not the embedding"
