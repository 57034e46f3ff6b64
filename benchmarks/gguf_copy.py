"""The GGUF file of a checkpoint in the Hub layout: `python gguf_copy.py CHECKPOINT FILE`.

As llama.cpp's own converter lays gpt-oss out and people run it: experts in MXFP4 with the same numbers, gate
and up rows in two tensors, dense matrices in Q8_0, routers and vectors in float32. It has no vocabulary. It
runs in the interpreter of llama.cpp, so it imports nothing of ours, and reads safetensors itself.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Kind = gguf.GGMLQuantizationType


class Shards:
    """The tensors of a checkpoint by name, as they are stored; bfloat16 is made float32."""

    def __init__(self, folder: Path) -> None:
        index = json.loads((folder / "model.safetensors.index.json").read_bytes())
        self._stored: dict[str, Array] = {}
        for file in sorted(set(index["weight_map"].values())):
            data = np.memmap(folder / file, np.uint8, "r")
            length = int(data[:8].view("<u8")[0])
            header = json.loads(data[8 : 8 + length].tobytes())
            for name, about in header.items():
                if name != "__metadata__":
                    start, end = (8 + length + place for place in about["data_offsets"])
                    dtype = {"U8": "u1", "BF16": "<u2"}[about["dtype"]]
                    self._stored[name] = data[start:end].view(dtype).reshape(about["shape"])

    def __getitem__(self, name: str) -> Array:
        stored = self._stored[name]
        return stored if stored.dtype == np.uint8 else (stored.astype("<u4") << 16).view("<f4")

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor that is not read."""
        return self._stored[name].shape


@dataclass
class Planned:
    """A tensor of the file: its shape in numbers, its format, and the function that makes its data."""

    name: str
    shape: tuple[int, ...]
    kind: Kind
    data: Callable[[], Array]

    @property
    def nbytes(self) -> int:
        """The size of its data."""
        block, size = gguf.GGML_QUANT_SIZES[self.kind]
        return prod(self.shape) // block * size


def plan(shards: Shards, layers: int) -> Iterator[Planned]:
    """The tensors of the file, in order."""

    def dense(name: str, stored: str, kind: Kind = Kind.Q8_0) -> Planned:
        def data() -> Array:
            return gguf.quants.quantize(shards[stored], kind)

        return Planned(name, shards.shape(stored), kind, data)

    def experts(name: str, stored: str, rows: slice) -> Iterator[Planned]:
        count, height, blocks = shards.shape(f"{stored}_scales")
        height = len(range(height)[rows])

        def weight() -> Array:
            halves = _halved(shards[f"{stored}_blocks"][:, rows])
            return np.concatenate([shards[f"{stored}_scales"][:, rows, :, None], halves], axis=-1)

        def bias() -> Array:
            return shards[f"{stored}_bias"][:, rows]

        yield Planned(f"{name}.weight", (count, height, blocks * 32), Kind.MXFP4, weight)
        yield Planned(f"{name}.bias", (count, height), Kind.F32, bias)

    yield dense("token_embd.weight", "model.embed_tokens.weight")
    yield dense("output_norm.weight", "model.norm.weight", Kind.F32)
    yield dense("output.weight", "lm_head.weight")
    for layer in range(layers):
        to, at = f"blk.{layer}.", f"model.layers.{layer}."
        yield dense(f"{to}attn_norm.weight", f"{at}input_layernorm.weight", Kind.F32)
        yield dense(f"{to}post_attention_norm.weight", f"{at}post_attention_layernorm.weight", Kind.F32)
        yield dense(f"{to}attn_sinks.weight", f"{at}self_attn.sinks", Kind.F32)
        for part, stored in (("q", "q"), ("k", "k"), ("v", "v"), ("output", "o")):
            yield dense(f"{to}attn_{part}.weight", f"{at}self_attn.{stored}_proj.weight")
            yield dense(f"{to}attn_{part}.bias", f"{at}self_attn.{stored}_proj.bias", Kind.F32)
        yield dense(f"{to}ffn_gate_inp.weight", f"{at}mlp.router.weight", Kind.F32)
        yield dense(f"{to}ffn_gate_inp.bias", f"{at}mlp.router.bias", Kind.F32)
        yield from experts(f"{to}ffn_gate_exps", f"{at}mlp.experts.gate_up_proj", slice(0, None, 2))
        yield from experts(f"{to}ffn_up_exps", f"{at}mlp.experts.gate_up_proj", slice(1, None, 2))
        yield from experts(f"{to}ffn_down_exps", f"{at}mlp.experts.down_proj", slice(None))


def _halved(blocks: Array) -> Array:
    """Blocks uint8 [..., 16] in ggml's order.

    Byte i holds the values 2i and 2i + 1, the first in its low nibble; of the result, the values i and
    i + 16.
    """
    values = np.stack([blocks & 15, blocks >> 4], axis=-1).reshape((*blocks.shape[:-1], 32))
    return values[..., :16] | values[..., 16:] << 4


def write(folder: Path, file: Path) -> None:
    """Write the file, one tensor in memory at a time."""
    config = json.loads((folder / "config.json").read_bytes())
    planned = list(plan(Shards(folder), config["num_hidden_layers"]))
    unfinished = file.with_suffix(".part")
    writer = gguf.GGUFWriter(unfinished, "gpt-oss")
    _describe(writer, config)
    for tensor in planned:
        # gguf takes the shape of a quantised tensor in bytes.
        block, size = gguf.GGML_QUANT_SIZES[tensor.kind]
        is_float = tensor.kind == Kind.F32
        stored = tensor.shape if is_float else (*tensor.shape[:-1], tensor.shape[-1] // block * size)
        dtype = np.dtype(np.float32 if is_float else np.uint8)
        writer.add_tensor_info(tensor.name, stored, dtype, tensor.nbytes, tensor.kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor in planned:
        writer.write_tensor_data(np.ascontiguousarray(tensor.data()))
    writer.close()
    unfinished.rename(file)


def _describe(writer: gguf.GGUFWriter, config: dict[str, Any]) -> None:
    rope = config["rope_scaling"]
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_expert_feed_forward_length(config["intermediate_size"])
    writer.add_expert_count(config["num_local_experts"])
    writer.add_expert_used_count(config["num_experts_per_tok"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_sliding_window(config["sliding_window"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    writer.add_rope_scaling_factor(rope["factor"])
    writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("none")


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]))
