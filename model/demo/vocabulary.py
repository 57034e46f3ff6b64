"""The demo model's own byte-level BPE: learned from its dialogues, written as a Hub tokenizer.json.

Layout as in the gpt-oss checkpoints: the o200k split pattern, ids equal to merge ranks, the control tokens
of harmony after the last merge. Digits never merge, so that numbers are copied digit by digit.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import tiktoken

from gptoss_tui.harmony.message import Effort, SystemPrompt
from gptoss_tui.harmony.render import prompt_messages
from gptoss_tui.model.tokenizer import load_tokenizer

from .dialogues import invent_dialogue, invent_setting, plain
from .dialogues.dialogue import Setting
from .dialogues.vocabulary import PEOPLE, PLACES, TECHNOLOGY, WORDS

MERGES = 1776
"""With 256 bytes and 16 control tokens this makes 2,048 tokens."""

# The o200k split: https://github.com/openai/tiktoken, tiktoken_ext/openai_public.py.
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CONTRACTION = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
PATTERN = "|".join(
    [
        rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_CONTRACTION}",
        rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_CONTRACTION}",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)

# In the order of o200k_harmony, where the gaps are reserved as well.
CONTROL = (
    "startoftext",
    "endoftext",
    "reserved_0",
    "reserved_1",
    "return",
    "constrain",
    "reserved_2",
    "channel",
    "start",
    "end",
    "message",
    "reserved_3",
    "reserved_4",
    "reserved_5",
    "call",
    "reserved_6",
)


HEADER_WORDS = (
    "system",
    "developer",
    "user",
    "assistant",
    "python",
    "analysis",
    "commentary",
    "final",
    "assistant to=python",
    "python to=assistant",
    " code",
)


def control_id(name: str) -> int:
    """The id of the control token `<|name|>`."""
    return 256 + MERGES + CONTROL.index(name)


def corpus(seed: int, dialogues: int = 12_000) -> Iterator[str]:
    """The texts the merges are learned from; system prompts often, so that they become short."""
    rng = random.Random(f"{seed}:vocabulary")
    for effort in Effort:
        for python, browser in ((False, False), (True, False), (True, True)):
            setting = Setting(
                SystemPrompt(effort, "2026-01-31", browser, python), invent_setting(rng).developer
            )
            for message in prompt_messages(invent_dialogue(rng, setting).prompt()):
                yield from [message.text] * 40
    for word in (*WORDS, *PLACES, *PEOPLE, *TECHNOLOGY):
        yield from (word, f" {word}", f" {word}")
    for _ in range(dialogues):
        dialogue = invent_dialogue(rng, invent_setting(rng))
        for message in (*prompt_messages(dialogue.prompt()), *dialogue.turn.messages):
            if message.role != "system":
                yield plain(message.text)
        yield from HEADER_WORDS


def train_tokenizer(folder: Path, seed: int) -> None:
    """Learn the merges and write `folder`/tokenizer.json and tokenizer_config.json."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(PATTERN), "isolated")
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    single_digits = pre_tokenizers.Digits(individual_digits=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, single_digits, to_bytes])
    trainer = trainers.BpeTrainer(
        vocab_size=256 + MERGES,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(seed), trainer)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, to_bytes])
    tokenizer.add_special_tokens([f"<|{name}|>" for name in CONTROL])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    config = {
        "bos_token": "<|startoftext|>",
        "eos_token": "<|return|>",
        "pad_token": "<|endoftext|>",
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


def load_encoding(folder: Path) -> tiktoken.Encoding:
    """The tokenizer of a folder as the runtime builds it."""
    return load_tokenizer(folder)
