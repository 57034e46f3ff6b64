"""Tiny checkpoints, and the vocabulary of gpt-oss."""

from __future__ import annotations

import gzip
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiktoken

TINY: dict[str, Any] = {
    "architectures": ["GptOssForCausalLM"],
    "model_type": "gpt_oss",
    "vocab_size": 320,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "sliding_window": 8,
    "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-5,
    "swiglu_limit": 7.0,
    "attention_bias": True,
    "tie_word_embeddings": False,
    "rope_theta": 150000,
    "rope_scaling": {
        "rope_type": "yarn",
        "factor": 4.0,
        "beta_fast": 32.0,
        "beta_slow": 1.0,
        "truncate": False,
        "original_max_position_embeddings": 32,
    },
    "quantization_config": {"quant_method": "mxfp4"},
}
SPECIALS = ("startoftext", "endoftext", "return", "constrain", "channel", "start", "end", "message", "call")
MERGES = ("t h", "Ġ t", "Ġt h", "i n", "a n", "e r", "o n", "r e", "Ġ a", "a l", "in g", "Ġth e")
O200K_PATTERN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

CheckpointWriter = Callable[..., Path]


@pytest.fixture(scope="session")
def ranks_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published ranks, carried by the package bpe_openai, named as tiktoken and harmony want them."""
    package = importlib.util.find_spec("bpe_openai")
    assert package is not None and package.origin is not None
    packed = Path(package.origin).parent / "data" / "o200k_base.tiktoken.gz"
    folder = tmp_path_factory.mktemp("ranks")
    # tiktoken names a cached file by the SHA-1 of its address, and checks its SHA-256; harmony does too.
    for name in ("o200k_base.tiktoken", "fb374d419588a4632f3f557e76b4b70aebbca790"):
        (folder / name).write_bytes(gzip.decompress(packed.read_bytes()))
    return folder


@pytest.fixture(scope="session")
def o200k(ranks_folder: Path) -> tiktoken.Encoding:
    """The vocabulary of gpt-oss, as tiktoken itself builds it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_CACHE_DIR", str(ranks_folder))
        return tiktoken.get_encoding("o200k_harmony")


@pytest.fixture(scope="session")
def tiny_checkpoint() -> CheckpointWriter:
    """A function `(folder, seed=0, **config) -> folder` that writes a random gpt-oss checkpoint there.

    Hub layout: config.json (the keys of TINY, replaced by `config`), model.safetensors with MXFP4 experts,
    and a tokenizer.json of the 256 bytes, a few merges and the harmony special tokens.
    """
    return write_checkpoint


def write_checkpoint(folder: Path, seed: int = 0, **config: Any) -> Path:
    from safetensors.torch import save_file

    settings = TINY | config
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(settings, indent=1))
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer_json(), ensure_ascii=False))
    save_file(random_tensors(settings, seed), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def random_tensors(settings: dict[str, Any], seed: int) -> dict[str, Any]:
    """Weights large enough that every part of the network shows in the logits."""
    import torch

    random = torch.Generator().manual_seed(seed)
    hidden, inner = settings["hidden_size"], settings["intermediate_size"]
    vocab, experts = settings["vocab_size"], settings["num_local_experts"]
    heads, head_dim = settings["num_attention_heads"], settings["head_dim"]

    def normal(*shape: int, scale: float) -> torch.Tensor:
        return (torch.randn(shape, generator=random) * scale).bfloat16()

    tensors = {
        "model.embed_tokens.weight": normal(vocab, hidden, scale=1.0),
        "model.norm.weight": 1 + normal(hidden, scale=0.1),
        "lm_head.weight": normal(vocab, hidden, scale=hidden**-0.5),
    }
    for layer in range(settings["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        for name in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{at}{name}.weight"] = 1 + normal(hidden, scale=0.1)
        tensors[f"{at}self_attn.sinks"] = normal(heads, scale=1.0)
        kv = settings["num_key_value_heads"] * head_dim
        for name, rows, columns in (
            ("self_attn.q_proj", heads * head_dim, hidden),
            ("self_attn.k_proj", kv, hidden),
            ("self_attn.v_proj", kv, hidden),
            ("self_attn.o_proj", hidden, heads * head_dim),
            ("mlp.router", experts, hidden),
        ):
            tensors[f"{at}{name}.weight"] = normal(rows, columns, scale=1.5 * columns**-0.5)
            tensors[f"{at}{name}.bias"] = normal(rows, scale=0.3)
        for name, rows, columns in (("gate_up_proj", 2 * inner, hidden), ("down_proj", hidden, inner)):
            blocks = (experts, rows, columns // 32, 16)
            # E2M1's mean square is 8.1: these exponents make the weights about 1.5 / sqrt(columns).
            exponent = round(127 - 0.5 * torch.log2(torch.tensor(columns * 8.1)).item())
            tensors[f"{at}mlp.experts.{name}_blocks"] = torch.randint(
                256, blocks, generator=random, dtype=torch.uint8
            )
            tensors[f"{at}mlp.experts.{name}_scales"] = torch.randint(
                exponent, exponent + 2, blocks[:-1], generator=random, dtype=torch.uint8
            )
            tensors[f"{at}mlp.experts.{name}_bias"] = normal(experts, rows, scale=0.3)
    return tensors


def tokenizer_json() -> dict[str, Any]:
    """A byte-level BPE in the form of the released tokenizer.json: the bytes, then merges, then specials."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}
    names = [letters[byte] for byte in range(256)] + [merge.replace(" ", "") for merge in MERGES]
    return {
        "version": "1.0",
        "normalizer": None,
        "added_tokens": [
            {"id": len(names) + i, "content": f"<|{name}|>", "special": True}
            for i, name in enumerate(SPECIALS)
        ],
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {
                    "type": "Split",
                    "pattern": {"Regex": O200K_PATTERN},
                    "behavior": "Isolated",
                    "invert": False,
                },
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
            ],
        },
        "decoder": {"type": "ByteLevel"},
        "model": {
            "type": "BPE",
            "vocab": {name: index for index, name in enumerate(names)},
            "merges": [merge.split(" ") for merge in MERGES],
        },
    }
