"""Loading: its result, and one clear message for every fault of a checkpoint."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

from gptoss_tui.kernels.reference import DTYPES, Reference
from gptoss_tui.model import load_model, load_tokenizer
from gptoss_tui.model.checkpoint import memory
from gptoss_tui.model.checkpoint.shards import INDEX, read_shards
from gptoss_tui.model.config import GPT_OSS_20B, GPT_OSS_120B
from gptoss_tui.model.errors import CheckpointError
from gptoss_tui.model.weights import layout

SCALES = "model.layers.2.mlp.experts.down_proj_scales"
BLOCKS = "model.layers.2.mlp.experts.down_proj_blocks"
QUERY = "model.layers.1.self_attn.q_proj.weight"
NORM = "model.layers.1.input_layernorm.weight"
GATE_UP = "model.layers.0.mlp.experts.gate_up_proj"


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Callable[..., Path]) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("pristine"))


@pytest.fixture
def folder(tmp_path: Path, pristine: Path) -> Path:
    """A checkpoint to damage."""
    return Path(shutil.copytree(pristine, tmp_path / "checkpoint"))


def shard(folder: Path) -> Path:
    return folder / "model.safetensors"


def edit(folder: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    """Rewrite the shard after `change` has had its tensors."""
    tensors = {name: tensor.clone() for name, tensor in load_file(shard(folder)).items()}
    change(tensors)
    save_file(tensors, shard(folder))


def split(folder: Path) -> dict[str, str]:
    """Turn the checkpoint into two shards, named as the released ones are, and their index."""
    tensors = load_file(shard(folder))
    names = sorted(tensors)
    weight_map = {name: f"model-0000{i % 2}-of-00001.safetensors" for i, name in enumerate(names)}
    for file in set(weight_map.values()):
        save_file({name: tensors[name] for name in names if weight_map[name] == file}, folder / file)
    shard(folder).unlink()
    write_index(folder, weight_map)
    return weight_map


def write_index(folder: Path, weight_map: object) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def refusal(folder: Path, **options: Any) -> str:
    """The message load_model refuses `folder` with: at most three lines."""
    with pytest.raises(CheckpointError) as caught:
        load_model(folder, **options)
    message = str(caught.value)
    assert message.count("\n") < 3
    assert str(folder) in message
    return message


def test_experts_stay_mxfp4_and_the_rest_takes_the_dtype(pristine: Path) -> None:
    """In plain PyTorch; other backends show what they made of the weights by their numbers alone."""
    stored = load_file(shard(pristine))
    for name_of_dtype, dtype in DTYPES.items():
        model = load_model(pristine, dtype=name_of_dtype, backend="plain")
        assert len(layout(model.config)) == len(stored)
        assert isinstance(model.kernels, Reference)
        layers = model.kernels.layers
        for name, weight, kept in (
            (BLOCKS, layers[2].experts.down_blocks, torch.uint8),
            (SCALES, layers[2].experts.down_scales, torch.uint8),
            (QUERY, layers[1].q.weight, dtype),
            (NORM, layers[1].attention_norm, torch.float32),
        ):
            assert weight.dtype == kept
            assert torch.equal(weight, stored[name].to(kept))


def test_progress_counts_bytes_to_the_end(pristine: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    load_model(pristine, on_progress=lambda *report: seen.append(report))
    done = [report[1] for report in seen]
    assert done == sorted(done) and done[0] > 0
    assert done[-1] == seen[-1][2] == sum(tensor.nbytes for tensor in load_file(shard(pristine)).values())


def test_an_index_is_honoured_whatever_the_shards_are_called(folder: Path, pristine: Path) -> None:
    split(folder)
    ids = range(9)
    assert np.array_equal(load_model(folder)(ids), load_model(pristine)(ids))


def test_a_tensor_that_no_index_names_is_ignored_with_a_warning(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    weight_map = split(folder)
    file = folder / weight_map[QUERY]
    save_file(load_file(file) | {"stray": torch.zeros(1)}, file)
    load_model(folder)
    assert "1 tensors that the index does not name" in caplog.text


def test_half_precision_is_refused(pristine: Path) -> None:
    with pytest.raises(ValueError, match="float16 overflows"):
        load_model(pristine, dtype="float16")  # type: ignore[arg-type]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the GPU")
def test_an_absent_gpu(pristine: Path) -> None:
    assert "no CUDA GPU" in refusal(pristine, device="cuda")


@pytest.mark.parametrize(("backend", "unwanted"), [("native", "torch"), ("plain", "torch._dynamo")])
def test_neither_loading_nor_reading_imports_more_than_it_needs(
    pristine: Path, backend: str, unwanted: str, request: pytest.FixtureRequest
) -> None:
    """Each costs more than a second of start-up; torch's compiler is pulled in by innocent calls."""
    if backend == "native":
        request.getfixturevalue("native_library")
    code = (
        "import sys; from gptoss_tui.model import load_model; "
        f"load_model({str(pristine)!r}, backend={backend!r})(range(20)); "
        f"assert {unwanted!r} not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


# The files


def test_no_weights(folder: Path) -> None:
    shard(folder).unlink()
    assert "holds no *.safetensors file" in refusal(folder)


def test_pickles_are_refused(folder: Path) -> None:
    shard(folder).rename(folder / "pytorch_model.bin")
    assert "pickle files only, which can run code when opened" in refusal(folder)


def test_several_shards_without_an_index(folder: Path) -> None:
    split(folder)
    (folder / "model.safetensors.index.json").unlink()
    message = refusal(folder)
    assert "model.safetensors.index.json: missing, with 2 shards beside it" in message


def test_every_missing_shard_is_listed(folder: Path) -> None:
    shards = sorted(set(split(folder).values()))
    for name in shards:
        (folder / name).unlink()
    message = refusal(folder)
    assert "2 of 2 shards are missing" in message and all(name in message for name in shards)


@pytest.mark.parametrize("name", ["../model.safetensors", "/model.safetensors", "a\\b", "..", "", "a\0b"])
def test_a_shard_outside_the_folder(folder: Path, name: str) -> None:
    write_index(folder, {QUERY: name})
    assert "leaves the checkpoint folder" in refusal(folder)


@pytest.mark.parametrize("index", ["", "{}", "[]", '{"weight_map": 3}', '{"weight_map": {', "[" * 100_000])
def test_an_index_that_is_none(folder: Path, index: str) -> None:
    (folder / "model.safetensors.index.json").write_text(index)
    assert "not a safetensors index" in refusal(folder)


def test_a_shard_without_a_tensor_of_the_index(folder: Path) -> None:
    weight_map = split(folder)
    write_index(folder, weight_map | {"model.extra": weight_map[QUERY]})
    assert f"{weight_map[QUERY]}: lacks tensor model.extra" in refusal(folder)


@pytest.mark.parametrize("change", [-1, 1])
def test_a_shard_of_the_wrong_length(folder: Path, change: int) -> None:
    content = shard(folder).read_bytes()
    shard(folder).write_bytes(content[:-1] if change < 0 else content + b"\0")
    message = refusal(folder)
    assert f"{len(content) + change:,} bytes, header promises {len(content):,}" in message


@pytest.mark.parametrize("kept", [0, 5, 100])
def test_a_download_that_broke_off_in_the_header(folder: Path, kept: int) -> None:
    shard(folder).write_bytes(shard(folder).read_bytes()[:kept])
    assert "damaged or not complete" in refusal(folder)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4792272488\n", "a Git-LFS pointer"),
        (b"\n<!DOCTYPE html><html><body>Not found</body></html>", "a web page"),
        (b"PK\x03\x04 and so on", "a pickle file"),
        (b"GGUF\x03\0\0\0", "a GGUF file"),
    ],
)
def test_other_files_in_place_of_a_shard_are_recognised(folder: Path, content: bytes, kind: str) -> None:
    shard(folder).write_bytes(content)
    assert f"{shard(folder)}: {kind}" in refusal(folder)


def header(text: bytes, data: bytes = b"") -> bytes:
    return len(text).to_bytes(8, "little") + text + data


def described(**fields: Any) -> bytes:
    entry = {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]} | fields
    return header(json.dumps({"x": entry}).encode(), b"\0" * 4)


@pytest.mark.parametrize(
    "content",
    [
        (1 << 40).to_bytes(8, "little"),
        header(b"\xff\xff"),
        header(b"[" * 5000),
        header(b"{]"),
        header(b"[]"),
        header(b'{"x": 1}'),
        described(data_offsets=[-4, 0]),
        described(data_offsets=[1, 4]),
        described(data_offsets=[4, 0]),
        described(data_offsets=[0, 1 << 70]),
        described(shape=["four"]),
        header(b'{"x": 1, "x": 2}'),
        header(described()[8:-4].replace(b'"dtype"', b'"shape": [4], "dtype"'), b"\0" * 4),
    ],
)
def test_hostile_headers(folder: Path, content: bytes) -> None:
    shard(folder).write_bytes(content)
    assert f"{shard(folder)}: " in refusal(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors", INDEX])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(folder: Path, name: str) -> None:
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    with pytest.raises(CheckpointError) as caught:
        load_tokenizer(folder)
        load_model(folder)
    assert f"{folder / name}: not an ordinary file" in str(caught.value)


@given(st.data())
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_damaged_header_is_refused_or_read(folder: Path, pristine: Path, data: st.DataObject) -> None:
    """Bytes changed, removed or put in anywhere in a header: one CheckpointError, or the weights."""
    content = bytearray(shard(pristine).read_bytes())
    end = 8 + int.from_bytes(content[:8], "little")
    for _ in range(data.draw(st.integers(1, 4))):
        place, left = data.draw(st.integers(0, end - 1)), data.draw(st.integers(0, 3))
        content[place : place + left] = data.draw(
            st.binary(max_size=4) | st.sampled_from([b"9" * 30, b"[" * 99])
        )
    shard(folder).write_bytes(content)
    try:
        stored = read_shards(folder)
    except CheckpointError as error:
        assert str(shard(folder)) in str(error)
    else:
        assert sum(tensor.nbytes for tensor in stored.values()) < len(content)


def test_a_header_that_only_the_reader_finds_wrong(folder: Path) -> None:
    """The offsets agree with the file, but not with shape and dtype."""
    content = shard(folder).read_bytes()
    assert content.count(b'"dtype":"U8"') == 16
    shard(folder).write_bytes(content.replace(b'"dtype":"BF16"', b'"dtype":"F32" ', 1))
    assert "not those of its shape and dtype" in refusal(folder)


# The tensors


def change_missing(tensors: dict[str, Tensor]) -> None:
    del tensors[QUERY]


def change_shape(tensors: dict[str, Tensor]) -> None:
    tensors[QUERY] = tensors[QUERY][:-1].clone()


def change_scales(tensors: dict[str, Tensor]) -> None:
    tensors[SCALES] = tensors[SCALES][..., :-1].clone()


def change_dtype(tensors: dict[str, Tensor]) -> None:
    tensors[BLOCKS] = tensors[BLOCKS].bfloat16()


def change_half(tensors: dict[str, Tensor]) -> None:
    tensors[QUERY] = tensors[QUERY].half()


def change_nan(tensors: dict[str, Tensor]) -> None:
    tensors[QUERY][3, 5] = torch.nan


def change_infinity(tensors: dict[str, Tensor]) -> None:
    tensors["lm_head.weight"][0, 0] = -torch.inf


def change_scale_nan(tensors: dict[str, Tensor]) -> None:
    tensors[SCALES][1, 2, 0] = 255


def change_zeros(tensors: dict[str, Tensor]) -> None:
    tensors[SCALES].zero_()


def change_dequantised(tensors: dict[str, Tensor]) -> None:
    experts, rows, blocks = tensors.pop(f"{GATE_UP}_scales").shape
    del tensors[f"{GATE_UP}_blocks"]
    tensors[GATE_UP] = torch.zeros(experts, blocks * 32, rows, dtype=torch.bfloat16)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (change_missing, f"tensor {QUERY} is missing"),
        (change_shape, f"tensor {QUERY} has shape [127, 64], config.json expects [128, 64]"),
        (change_scales, f"tensor {SCALES} has shape [4, 64, 2], config.json expects [4, 64, 3]"),
        (change_dtype, f"tensor {BLOCKS} is BF16, not U8"),
        (change_half, f"tensor {QUERY} is F16, not BF16 or F32"),
        (change_nan, f"tensor {QUERY} holds NaN"),
        (change_infinity, "tensor lm_head.weight holds NaN or infinity"),
        (change_scale_nan, f"tensor {SCALES} holds NaN"),
        (change_zeros, f"tensor {SCALES} holds nothing but zeros"),
        (change_dequantised, "experts were saved dequantised"),
    ],
)
def test_wrong_tensors(folder: Path, change: Callable[[dict[str, Tensor]], None], words: str) -> None:
    edit(folder, change)
    assert words in refusal(folder)


def test_a_configuration_of_another_size(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_local_experts": 128}))
    assert "config.json expects [128" in refusal(folder)


# Memory


def test_the_estimate_covers_the_released_files() -> None:
    for config, stored, dense in (
        (GPT_OSS_20B, 13_761_264_768, 3_608_919_168),
        (GPT_OSS_120B, 65_248_815_744, 4_334_742_144),
    ):
        assert stored < memory.estimate(config, "bfloat16") < 1.1 * stored
        more = memory.estimate(config, "float32") - memory.estimate(config, "bfloat16")
        assert dense < more < 1.5 * dense
        copies = memory.estimate(config, "bfloat16", packed=True) - memory.estimate(config, "bfloat16")
        unembedding = config.vocab_size * config.hidden_size
        matrices = 4096 * config.hidden_size * 2 + 2 * 512 * config.hidden_size
        assert copies == pytest.approx(1.5 * config.num_hidden_layers * matrices - unembedding, rel=0.01)


def test_what_cannot_fit_is_refused_with_the_numbers() -> None:
    layers = GPT_OSS_120B.layer_types * 25
    config = replace(GPT_OSS_120B, num_hidden_layers=len(layers), layer_types=layers)
    with pytest.raises(CheckpointError) as caught:
        memory.require("models/huge", config, "cpu", "float32")
    message = str(caught.value)
    assert re.search(r"models/huge: needs about 1\d\d\d\.\d GiB on cpu, \d+\.\d GiB are free\.", message)
    assert "bfloat16" in message and message.count("\n") < 3


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the limit is set from /proc")
def test_a_limit_on_the_process_is_told(tmp_path: Path, tiny_checkpoint: Callable[..., Path]) -> None:
    folder = tiny_checkpoint(tmp_path, vocab_size=40_000)
    code = """
import mmap, resource, sys
from pathlib import Path
from gptoss_tui.model import load_model
from gptoss_tui.model.errors import CheckpointError
import gptoss_tui.model.load
pages = int(Path("/proc/self/statm").read_text().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * mmap.PAGESIZE + (4 << 20),) * 2)
try:
    load_model(sys.argv[1])
except CheckpointError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True)
    assert "cannot be read, 0 % loaded (Cannot allocate memory).\nRaise this process's limit" in done.stdout


def test_available_memory_is_known_here() -> None:
    free = memory.available("cpu")
    assert free is not None and 1 << 27 < free < 1 << 46
