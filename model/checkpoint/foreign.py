"""What people have that is no checkpoint in the Hub layout: each by its name, with what to use instead."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

_INSTEAD = "Use the checkpoint in the Hub layout: config.json, tokenizer.json and *.safetensors."
_GGUF = f"which this version does not read. {_INSTEAD}"

_FOLDERS = (
    ("adapter_config.json", "a LoRA adapter, the changes to a model alone. Merge it into its model first."),
    ("*.gguf", f"holds GGUF (as llama.cpp and LM Studio use it), {_GGUF}"),
    ("genai_config.json", f"an ONNX model. {_INSTEAD}"),
    ("*.onnx", f"an ONNX model. {_INSTEAD}"),
    ("openvino_model.xml", f"an OpenVINO model. {_INSTEAD}"),
    ("model.bin", f"OpenAI's files for Apple's Metal. {_INSTEAD}"),
    ("blobs/sha256-*", f"Ollama's store of models, in GGUF, {_GGUF}"),
)
"""A file in a folder, or a pattern for its name, and what the folder is."""


def foreign_folder(folder: Path) -> str | None:
    """What a folder without config.json is, and what to do; None if that is not known."""
    return next((what for name, what in _FOLDERS if next(folder.glob(name), None)), None)


def foreign_file(file: Path) -> str:
    """What a file is, of which people think as a model, and what to do."""
    start = b""
    with suppress(OSError):
        if file.is_file():
            with file.open("rb") as opened:
                start = opened.read(4)
    if start == b"GGUF" or file.suffix == ".gguf":
        whose = "a blob of Ollama's, in GGUF" if re.fullmatch("sha256-[0-9a-f]{64}", file.name) else "GGUF"
        return f"{whose}, {_GGUF}"
    match file.suffix:
        case ".safetensors" | ".json":
            return f"one file of a checkpoint. Name its folder, {file.parent}."
        case ".bin" | ".pt" | ".pth" | ".pkl" | ".ckpt":
            return "pickle files can run code when opened. Use a checkpoint in safetensors."
        case ".onnx":
            return f"an ONNX model. {_INSTEAD}"
        case _:
            return "not a folder. Name one that holds config.json, tokenizer.json and *.safetensors."


def foreign_config(values: Mapping[str, Any]) -> str | None:
    """What a folder with this config.json is, if not a Hub checkpoint of gpt-oss; None if it is one."""
    names = " ".join(map(str, [values.get("architectures"), *(key for key in values if "config" in key)]))
    draft = re.search("eagle|speculator|dflash", names, re.IGNORECASE)
    if draft:
        return f"a draft model, with which other engines guess ahead ({draft[0]}). Use the model itself."
    if isinstance(values.get("quantization"), Mapping) and "group_size" in values["quantization"]:
        return f"an MLX model. {_INSTEAD}"
    kind = values.get("model_type")
    if kind == "gpt_oss":
        return None
    if kind is None and values.keys() >= {"num_hidden_layers", "num_experts", "swiglu_limit"}:
        return "OpenAI's original layout. Use the folder above it, which has the Hub layout."
    return f"a {kind!r} checkpoint; gptoss-chat runs gpt-oss." if kind else "no checkpoint (no model_type)."
