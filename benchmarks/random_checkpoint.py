"""A checkpoint of random weights in the true shape of gpt-oss-20b, or of a part of it, in the Hub layout.

`python benchmarks/random_checkpoint.py FOLDER` writes it whole (13.8 GB), with `--sixth` a sixth of it.

How fast a network runs depends on its shape and hardly on its weights. These are scaled so that the stream
and the logits stay of the size of one, and routers choose every expert about equally often.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from gptoss_tui.model.config import GPT_OSS_20B, ModelConfig, Rope, alternating
from gptoss_tui.model.weights import layout

FULL = replace(GPT_OSS_20B, rope=Rope(truncate=True))
"""gpt-oss-20b, but for YaRN's correction dims: llama.cpp rounds them, and both engines must agree."""

SIXTH = replace(FULL, num_hidden_layers=4, layer_types=alternating(4), vocab_size=33_536)
"""Four of the 24 layers and a sixth of the vocabulary: every part keeps its share of the work."""

_E2M1_MEAN_SQUARE = 8.1  # of the 16 values of a nibble, each as often as any other

_QUIETER = 3
"""Halvings of what experts add to the stream.

Where the best experts are nearly a tie, rounding makes two engines choose differently. In a trained network
that changes little; so it must here, for the logits to show that everything else is equal.
"""


def write_checkpoint(config: ModelConfig, folder: Path) -> None:
    """Write the checkpoint into `folder`, unless it is there already: config.json comes last."""
    if (folder / "config.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    random = torch.Generator().manual_seed(0)
    places: dict[str, str] = {}
    for file, shapes in _shards(config).items():
        tensors = {name: _random(name, shape, random) for name, shape in shapes.items()}
        save_file(tensors, folder / file, metadata={"format": "pt"})
        places |= dict.fromkeys(tensors, file)
    index = {"metadata": {}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "config.json").write_text(json.dumps(_config_json(config), indent=1))


def _shards(config: ModelConfig) -> dict[str, dict[str, tuple[int, ...]]]:
    """The shapes of the tensors by file and name: a file for each layer, and one for the rest."""
    shards: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, shape in layout(config).items():
        part = f"layer-{name.split('.')[1]}" if name.startswith("layers.") else "ends"
        stored = name if name.startswith("lm_head.") else f"model.{name}"
        shards.setdefault(f"model-{part}.safetensors", {})[stored] = shape
    return shards


def _random(name: str, shape: tuple[int, ...], random: torch.Generator) -> Tensor:
    if name.endswith("_blocks"):
        # Whole words are drawn eight times faster than bytes.
        words = torch.empty(math.prod(shape) // 8, dtype=torch.int64)
        return words.random_(-(1 << 63), None, generator=random).view(torch.uint8).view(shape)
    if name.endswith("_scales"):
        exponent = round(127 - 0.5 * math.log2(32 * shape[-1] * _E2M1_MEAN_SQUARE))
        exponent -= _QUIETER if "down_proj" in name else 0
        return torch.randint(exponent, exponent + 2, shape, generator=random, dtype=torch.uint8)
    values = torch.empty(shape, dtype=torch.bfloat16)
    if name.endswith("norm.weight"):
        return values.normal_(1, 0.1, generator=random)
    if name.endswith("embed_tokens.weight") or len(shape) == 1:
        return values.normal_(0, 1 if "embed" in name else 0.1, generator=random)
    return values.normal_(0, 1.5 * shape[-1] ** -0.5, generator=random)


def _config_json(config: ModelConfig) -> dict[str, object]:
    values = asdict(config)
    rope = values.pop("rope")
    return {
        "architectures": ["GptOssForCausalLM"],
        "model_type": "gpt_oss",
        **values,
        "rope_theta": rope["theta"],
        "rope_scaling": {
            "rope_type": "yarn",
            "factor": rope["factor"],
            "original_max_position_embeddings": rope["original_context"],
            "beta_fast": rope["beta_fast"],
            "beta_slow": rope["beta_slow"],
            "truncate": rope["truncate"],
        },
        "quantization_config": {"quant_method": "mxfp4"},
    }


def main() -> None:
    """Write one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sixth", action="store_true", help="four of the layers, a sixth of the vocabulary")
    options = parser.parse_args()
    write_checkpoint(SIXTH if options.sixth else FULL, options.folder)


if __name__ == "__main__":
    main()
