"""The demo model's own byte-level BPE: learned from its dialogues, written as the Hub has it.

Layout as in the gpt-oss checkpoints: the o200k split pattern, ids equal to merge ranks, the control tokens
of harmony after the last merge. Digits never merge, so that numbers are copied digit by digit. A blank joins
the word behind it last of all, and only if that is one of the language's common words, as a whole. Words that
names and values are made of are the same tokens wherever they stand, after a blank, a quotation mark or an
underscore: then copying a word, or finding it in the name of a function, is copying or finding its tokens.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tiktoken

from gptoss_tui.harmony.message import DeveloperPrompt, Effort, SystemPrompt
from gptoss_tui.harmony.render import prompt_messages
from gptoss_tui.model import load_tokenizer
from gptoss_tui.model.checkpoint.hub import TOKENIZER, TOKENIZER_CONFIG

from .dialogues import invent_dialogue, invent_setting, plain
from .dialogues.dialogue import Setting
from .dialogues.invented import COLOURS
from .dialogues.syllables import FIRST_NAMES
from .dialogues.vocabulary import DEEDS, PEOPLE, PLACES, TECHNOLOGY, THINGS, WORDS

PIECES, LED = 2096, 448
"""Tokens that are pieces of words, punctuation and so on, and words with the blank before them..."""

MERGES = PIECES + LED
"""...which with 256 bytes and 16 control tokens makes 2,816 tokens."""

COPIED = frozenset((*THINGS, *DEEDS, *PLACES, *FIRST_NAMES, *COLOURS))
"""Words that names and values are drawn from."""

# The o200k split (https://github.com/openai/tiktoken, tiktoken_ext/openai_public.py) but for what leads
# a word.
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_WORDS = (rf"{_UPPER}*{_LOWER}+", rf"{_UPPER}+{_LOWER}*")
_OTHERS = (r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+")
PIECES_PATTERN = "|".join([*_WORDS, *_OTHERS])


def pattern(led: list[str]) -> str:
    """The split: a blank joins the words `led`, and those as whole words alone."""
    return "|".join([rf" (?:{'|'.join(led)})(?![\p{{L}}\p{{M}}])", PIECES_PATTERN])


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


def control_id(name: str) -> int:
    """The id of the control token `<|name|>`."""
    return 256 + MERGES + CONTROL.index(name)


DIALOGUES = 12_000
"""Dialogues that the merges are learned from."""


def corpus(seed: int) -> Iterator[str]:
    """The texts the merges are learned from; system prompts often, so that they become short."""
    rng = random.Random(f"{seed}:vocabulary")
    for effort in Effort:
        for python, browser in ((False, False), (True, False), (True, True), (False, True)):
            system = SystemPrompt(effort, "2026-01-31", browser, python)
            for message in prompt_messages(invent_dialogue(rng, Setting(system, DeveloperPrompt())).prompt()):
                yield from [message.text] * 40
    for word in (*WORDS, *PLACES, *PEOPLE, *TECHNOLOGY):
        yield from (word, f" {word}", f" {word}")
    for _ in range(DIALOGUES):
        dialogue = invent_dialogue(rng, invent_setting(rng))
        for message in (*prompt_messages(dialogue.prompt()), *dialogue.turn.messages):
            if message.role != "system":
                yield plain(message.text)
        for message in dialogue.turn.messages:
            yield from (message.role, f"to={message.recipient}", message.channel or "", " json", " code")


def train_tokenizer(folder: Path, seed: int) -> None:
    """Learn the merges, and write the tokenizer's files into `folder`."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    def pre_tokenizer(*, digits: bool) -> pre_tokenizers.PreTokenizer:
        split = pre_tokenizers.Split(Regex(PIECES_PATTERN), "isolated")
        to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        single = [pre_tokenizers.Digits(individual_digits=True)] if digits else []
        return pre_tokenizers.Sequence([split, *single, to_bytes])

    texts = list(corpus(seed))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer(digits=True)
    trainer = trainers.BpeTrainer(
        vocab_size=256 + PIECES,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.pre_tokenizer = pre_tokenizer(digits=False)
    _write(folder, json.loads(tokenizer.to_str()), texts)


def _write(folder: Path, content: dict[str, Any], texts: list[str]) -> None:
    """Add the words that a blank leads and the control tokens, and write the files."""
    from tokenizers import Tokenizer

    model = content["model"]
    led = _led(texts, model["vocab"])
    content["pre_tokenizer"]["pretokenizers"][0]["pattern"] = {"Regex": pattern(led)}
    for word in led:
        model["merges"].append(["Ġ", word])  # the blank, in the byte alphabet
        model["vocab"][f"Ġ{word}"] = len(model["vocab"])
    tokenizer = Tokenizer.from_str(json.dumps(content))
    tokenizer.add_special_tokens([f"<|{name}|>" for name in CONTROL])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / TOKENIZER), pretty=False)
    config = {
        "bos_token": "<|startoftext|>",
        "eos_token": "<|return|>",
        "pad_token": "<|endoftext|>",
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    (folder / TOKENIZER_CONFIG).write_text(json.dumps(config, indent=2) + "\n")


def _led(texts: list[str], vocabulary: dict[str, int]) -> list[str]:
    """The commonest words that are one piece, stand after a blank and are not copied."""
    counts = Counter(word for text in texts for word in re.findall(r"(?<= )[A-Za-z]{2,}", text))
    return [word for word, _ in counts.most_common() if word in vocabulary and word not in COPIED][:LED]


def load_encoding(folder: Path) -> tiktoken.Encoding:
    """The tokenizer of a folder as the runtime builds it."""
    return load_tokenizer(folder)
