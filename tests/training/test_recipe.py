"""The recipe of the demo model: its data, its training loop, its export."""

from __future__ import annotations

import random
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import tiktoken
import torch

from gptoss_tui.harmony import Closed, Parser, render
from gptoss_tui.harmony.message import Role
from gptoss_tui.kernels.choose import Backend
from gptoss_tui.kernels.mxfp4 import decode, encode
from gptoss_tui.model import load_model, load_tokenizer
from gptoss_tui.model.demo import checkpoint_path
from gptoss_tui.training import examples
from gptoss_tui.training.dialogues import invent_dialogue, invent_setting
from gptoss_tui.training.dialogues.arithmetic import evaluate, invent_sum, is_expression
from gptoss_tui.training.dialogues.dialogue import (
    IN_JSON,
    SKILLS,
    WITH_BROWSER,
    WITH_FUNCTIONS,
    WITH_PYTHON,
)
from gptoss_tui.training.dialogues.phrasing import is_held_out
from gptoss_tui.training.dialogues.syllables import invent_name
from gptoss_tui.training.dialogues.turn import unmarked
from gptoss_tui.training.examples import Example, batches, collate, example, setting_ids
from gptoss_tui.training.export import SHARPNESS, read_weights, write_checkpoint, write_config
from gptoss_tui.training.network import DemoNetwork, NetworkShape
from gptoss_tui.training.train import Run, Schedule, main, step_batch
from gptoss_tui.training.vocabulary import COPIED

# Small enough for bfloat16 to stay close to float32, layer by layer.
SHAPE = NetworkShape(
    vocabulary=load_tokenizer(checkpoint_path()).n_vocab,
    hidden=128,
    layers=4,
    heads=4,
    experts=4,
    intermediate=128,
)
SMALL_BLOCKS = ((2, 96), (2, 160), (1, 256), (1, 448))


@pytest.fixture(scope="module")
def encoding() -> tiktoken.Encoding:
    return load_tokenizer(checkpoint_path())


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examples, "BLOCKS", SMALL_BLOCKS)


ALL = {**SKILLS, **WITH_FUNCTIONS, **WITH_PYTHON, **WITH_BROWSER, **IN_JSON}


@pytest.mark.parametrize("skill", ALL, ids=lambda skill: skill.__name__)
def test_examples_are_what_the_product_sends_and_receives(skill: object, encoding: tiktoken.Encoding) -> None:
    for seed in range(15):
        rng = random.Random(seed)
        while skill not in (setting := invent_setting(rng)).skills():
            pass
        dialogue = invent_dialogue(rng, setting, skill=skill)
        item = example(dialogue, encoding)
        ids = setting_ids(setting, encoding) + item.ids
        weights = [0.0] * (len(ids) - len(item.ids)) + item.weights
        prompt = render(dialogue.prompt(), encoding)
        assert ids[: len(prompt)] == prompt
        assert not any(weights[: len(prompt)])
        assert weights[len(prompt)] > 0
        assert encoding.decode([ids[-1]]) == "<|return|>"
        assert _read(ids[len(prompt) :], weights[len(prompt) :], encoding) == [
            unmarked(message) for message in dialogue.turn.messages if message.role is Role.ASSISTANT
        ]


def _read(ids: list[int], weights: list[float], encoding: tiktoken.Encoding) -> list[object]:
    """The messages that the product's parser finds in the predicted tokens, one sample after the other."""
    messages: list[object] = []
    parser = Parser(encoding)
    for token, weight in zip(ids, weights, strict=True):
        if weight and parser.ended:
            parser = Parser(encoding)
        if weight:
            messages += [piece.message for piece in parser.feed(token) if isinstance(piece, Closed)]
    return messages


def test_batches_follow_from_the_seed(encoding: tiktoken.Encoding) -> None:
    first, again, other = (batches(random.Random(seed), encoding, drills=0.2)[0] for seed in ("a", "a", "b"))
    assert torch.equal(first.target, again.target)
    assert all(torch.equal(x.ids, y.ids) for x, y in zip(first.blocks, again.blocks, strict=True))
    assert not all(torch.equal(x.ids, y.ids) for x, y in zip(first.blocks, other.blocks, strict=True))


def test_held_out_contents_are_never_trained_on() -> None:
    rng = random.Random(7)
    for held_out in (False, True):
        assert all(is_held_out(invent_name(rng, held_out)) is held_out for _ in range(300))
        assert all(is_held_out(invent_sum(rng, held_out).code) is held_out for _ in range(300))


def test_sums_are_computed_by_python() -> None:
    rng = random.Random(3)
    sums = [invent_sum(rng, held_out=False).code for _ in range(500)]
    assert all(is_expression(code) for code in sums)
    assert evaluate("417 * 38") == "15846"
    assert evaluate("3 - 10") == "-7"
    assert evaluate("1 // 0").startswith("ZeroDivisionError: ")
    assert not is_expression("__import__('os')")
    assert not is_expression("9 ** 9 ** 9")


def test_copied_spans_weigh_most_at_their_first_token(encoding: tiktoken.Encoding) -> None:
    rng = random.Random(1)
    while True:
        setting = invent_setting(rng)
        dialogue = invent_dialogue(rng, setting, turns=1)
        if dialogue.turn.skill == "arithmetic" and setting.system.effort == "low":
            break
    item = example(dialogue, encoding)
    heavy = [i for i, weight in enumerate(item.weights) if weight == examples.SPAN_START]
    first = dialogue.turn.final[0]
    assert len(heavy) == 4, "thought, call, and both sides of the answer"
    assert all(encoding.decode([item.ids[i]]).strip() in ("", first, "-") for i in heavy[:3])


def test_digits_never_merge(encoding: tiktoken.Encoding) -> None:
    assert [encoding.decode([i]) for i in encoding.encode_ordinary("417*38")] == [*"417*38"]
    merged = [
        piece for i in range(encoding.n_vocab) if sum(map(str.isdigit, piece := encoding.decode([i]))) > 1
    ]
    assert not [piece for piece in merged if not piece.startswith("<|")]


@pytest.mark.usefixtures("small")
def test_an_interrupted_run_continues_bit_for_bit(tmp_path: Path) -> None:
    schedule = Schedule(steps=8, warmup=2, decay_from=4, quantise_from=2, drills_until=3, scale=1)
    whole = _run(tmp_path / "whole", schedule)
    losses = [whole.train_step()[0] for _ in range(4)]
    begun = _run(tmp_path / "halves", schedule)
    halves = [begun.train_step()[0] for _ in range(2)]
    begun.save()
    resumed = _run(tmp_path / "halves", schedule)
    assert resumed.step == 2
    halves += [resumed.train_step()[0] for _ in range(2)]
    assert halves == losses
    assert all(
        torch.equal(x, y)
        for x, y in zip(whole.network.parameters(), resumed.network.parameters(), strict=True)
    )
    assert all(torch.equal(whole.average[name], resumed.average[name]) for name in whole.average)


@pytest.mark.usefixtures("small")
def test_a_batch_in_parts_is_the_same_step(tmp_path: Path) -> None:
    schedule = Schedule(steps=8, warmup=2, decay_from=4, quantise_from=2, drills_until=3, scale=4)
    seen = []
    for parts in (1, 3):
        run = _run(tmp_path / str(parts), schedule)
        batch = step_batch(run.seed, schedule, 0, run.encoding, parts)
        assert len(batch) == parts
        loss, _ = run.train_step(batch)
        every = [p.grad.flatten() for p in run.network.parameters() if p.grad is not None]
        seen.append((loss, torch.cat(every)))
    (whole_loss, whole), (loss, summed) = seen
    assert loss == pytest.approx(float(whole_loss), rel=1e-3)
    assert torch.norm(whole - summed) < 0.1 * torch.norm(whole)  # products are rounded to bfloat16


def _run(folder: Path, schedule: Schedule) -> Run:
    folder.mkdir(exist_ok=True)
    for name in ("config.json", "tokenizer.json"):
        shutil.copy(checkpoint_path() / name, folder)
    return Run(folder, 1, schedule, SHAPE)


def test_the_runtime_computes_what_was_trained(
    tmp_path: Path, encoding: tiktoken.Encoding, backend: Backend
) -> None:
    """Packed batches with a shared prefix and the exported checkpoint token by token: the same network."""
    torch.manual_seed(0)
    network = DemoNetwork(SHAPE)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "embedding" not in name:
                parameter.add_(torch.randn_like(parameter) * 0.05)
            parameter.copy_(parameter.bfloat16())
    write_checkpoint(tmp_path, network, checkpoint_path())
    runtime = load_model(tmp_path, dtype="float32", backend=backend)
    generator = random.Random(2)
    prefixes = [generator.choices(range(2000), k=length) for length in (150, 60)]
    items = [(0, _random_example(generator, 200)), (1, _random_example(generator, 40))]
    rows = collate(prefixes, [[items[1]], [], [items[0]], [], [], []])
    with torch.no_grad():
        trained = network(rows, quantised=True) * SHARPNESS
    for owner, (group, item) in enumerate((items[1], items[0])):
        expected = torch.from_numpy(runtime(prefixes[group] + item.ids))
        expected = expected[len(prefixes[group]) : -1]
        got = trained[rows.owner == owner]
        assert got.shape == expected.shape
        # bfloat16 against float32: close everywhere, except where it tips the router's choice of an expert.
        error = (got - expected).square().mean(-1).sqrt() / expected.std()
        assert error.median() < 0.02
        assert error.quantile(0.9) < 0.1


def test_training_can_go_on_from_an_exported_checkpoint(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, again = DemoNetwork(SHAPE), DemoNetwork(SHAPE)
    write_checkpoint(tmp_path, network, checkpoint_path())
    read_weights(tmp_path, again)
    read = dict(again.named_parameters())
    for name, trained in network.named_parameters():
        kept = trained.detach().bfloat16()
        if re.search(r"(gate|up|down)$", name):
            kept = decode(*encode(trained.detach()))
        assert torch.allclose(read[name], kept.float(), rtol=0.01), name


def test_a_word_that_is_copied_is_the_same_tokens_everywhere(encoding: tiktoken.Encoding) -> None:
    for word in COPIED:
        bare = encoding.encode(word)
        assert encoding.encode(f" {word}") == [*encoding.encode(" "), *bare]
        assert encoding.encode(f"_{word}") == [*encoding.encode("_"), *bare]
    assert len(encoding.encode(" the")) == 1


def test_a_start_of_another_vocabulary_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_config(tmp_path / "old", replace(NetworkShape(), vocabulary=3072))
    arguments = ["--start", str(tmp_path / "old"), "--run", str(tmp_path / "run")]
    monkeypatch.setattr("sys.argv", ["train", *arguments])
    with pytest.raises(SystemExit):
        main()
    assert "has 3,072 tokens, the network 2,816: it has to be trained anew" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def _random_example(rng: random.Random, length: int) -> Example:
    return Example(rng.choices(range(2000), k=length), [0.0] + [1.0] * (length - 1), "random")
