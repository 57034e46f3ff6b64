"""From dialogues to rows of tokens: the input, the predicted tokens, and their weights."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, replace

import numpy as np
import tiktoken
import torch
from numpy.typing import NDArray
from torch import Tensor

from gptoss_tui.harmony.message import Conversation, Message, Role
from gptoss_tui.harmony.render import encode_text, prompt_messages, remembered, render_message

from .dialogues import COPY_BEGIN, COPY_END, Dialogue, Setting, invent_dialogue, invent_setting, plain
from .dialogues.dialogue import PRACTISED_FUNCTIONS, USUAL_FUNCTIONS
from .vocabulary import CONTROL

SPAN_START, SPAN, DECISION = 6.0, 2.0, 3.0
"""Weights of a copied span's first token, of its other tokens, and of the first token of each body, by which
the model decides on its task. Every other predicted token has the weight 1."""


BLOCKS = ((14, 96), (12, 160), (13, 256), (10, 448), (5, 800), (5, 1536))
"""Rows and tokens of the blocks into which the dialogues of a batch are sorted."""


LONG, LONG_TURNS = 4096, (25, 60)
"""Tokens and turns of a long conversation; a batch has one for every two of its scale."""

CUT = 0.55
"""Share of the calls of functions that are cut after the choice of the function, so that more of them fit."""

FARTHEST = 7168
"""Positions that a jump skips, at most."""


@dataclass(frozen=True, slots=True)
class Example:
    """The tokens after the setting; `weights[i]` > 0 where token i must be predicted.

    The last turn begins at token `turn`. `jump` is a token, and the number of positions skipped before it, so
    that full attention learns long distances from short texts (PoSE: Zhu et al. 2023, arXiv 2309.10400).
    """

    ids: list[int]
    weights: list[float]
    skill: str
    turn: int = 0
    jump: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Block:
    """Dialogues of similar length, ids [n, T] padded on the right, and the index of each setting, [n]."""

    ids: Tensor
    group: Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """Settings [groups, P], padded on the left, and the dialogues that follow them.

    `places` are the tokens' places among all ids, padding included, laid end to end; `positions` are their
    positions in the conversation, for full attention. `predict` are the tokens before predicted ones, which
    have `target` and `weight`; `owner` is the dialogue of a target, an index into `skills`. `rows` [n, 2],
    never on a GPU, are the number of tokens of each prefix and each dialogue, and the index of its prefix (-1
    for a prefix itself).
    """

    prefix: Tensor
    prefix_seen: Tensor
    blocks: list[Block]
    places: Tensor
    positions: Tensor
    predict: Tensor
    target: Tensor
    weight: Tensor
    owner: Tensor
    skills: list[str]
    tokens: int
    rows: Tensor

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        if device.type == "cpu":
            return self

        def move(x: Tensor) -> Tensor:
            return x.pin_memory().to(device, non_blocking=True)  # only pinned memory is copied without a wait

        return replace(
            self,
            prefix=move(self.prefix),
            prefix_seen=move(self.prefix_seen),
            blocks=[Block(move(block.ids), move(block.group)) for block in self.blocks],
            places=move(self.places),
            positions=move(self.positions),
            predict=move(self.predict),
            target=move(self.target),
            weight=move(self.weight),
            owner=move(self.owner),
        )


def setting_ids(setting: Setting, encoding: tiktoken.Encoding) -> list[int]:
    """The system and developer messages as tokens."""
    opening = prompt_messages(Conversation(setting.system, setting.developer))
    return [i for message in opening for i in render_message(message, encoding)]


def example(dialogue: Dialogue, encoding: tiktoken.Encoding) -> Example:
    """Render a dialogue as the product would send and receive it; only its last turn is predicted."""
    user = Message(Role.USER, dialogue.turn.user)
    ids: list[int] = []
    turn = 0
    for message in remembered([*dialogue.history, user]):
        turn = len(ids)
        ids += render_message(message, encoding)
    weights = [0.0] * len(ids)
    given = True  # whether the renderer, not the model, writes `<|start|>assistant`
    for message in dialogue.turn.messages:
        shown, own = _weighted(message, encoding)
        predicted = message.role is Role.ASSISTANT
        if not predicted:
            own = [0.0] * len(own)
        elif given:
            own[:2] = [0.0, 0.0]
        ids += shown
        weights += own
        given = not predicted or message.recipient is not None
    ids[-1] = encoding.encode_single_token("<|return|>")
    return Example(ids, weights, dialogue.turn.skill, turn)


def _weighted(message: Message, encoding: tiktoken.Encoding) -> tuple[list[int], list[float]]:
    """The tokens and weights of a completed message; marks show its copied spans."""
    text = plain(message.text)
    ids = render_message(replace(message, text=text), encoding)
    body = encode_text(text, encoding)
    weights = [1.0] * len(ids)
    begin = len(ids) - 1 - len(body)
    if message.recipient and message.recipient.startswith("functions."):
        weights[2:begin] = [SPAN] * (begin - 2)  # the function's name is copied, too
    starts, inside = _spans(message.text)
    offset = 0
    for i, token in enumerate(body, begin):
        covered = range(offset, offset + len(encoding.decode_single_token_bytes(token)))
        if any(byte in starts for byte in covered):
            weights[i] = SPAN_START
        elif any(byte in inside for byte in covered):
            weights[i] = SPAN
        offset = covered.stop
    weights[begin] = max(weights[begin], DECISION)
    return ids, weights


def _spans(marked: str) -> tuple[set[int], set[int]]:
    """The byte offsets, in the unmarked text, of the beginnings of copied spans, and of all bytes in them."""
    starts: set[int] = set()
    inside: set[int] = set()
    offset = 0
    copying = False
    for character in marked:
        if character == COPY_BEGIN:
            starts.add(offset)
            copying = True
        elif character == COPY_END:
            copying = False
        else:
            size = len(character.encode())
            if copying:
                inside.update(range(offset, offset + size))
            offset += size
    return starts, inside


def choice(item: Example) -> Example:
    """The example up to the point where the thought has named the function and its parameters."""
    body = next(i for i, weight in enumerate(item.weights) if weight == SPAN_START)
    end = next(i for i in range(body, len(item.ids)) if item.weights[i] == 1.0 and item.weights[i + 1] == 1.0)
    return replace(item, ids=item.ids[: end + 1], weights=item.weights[: end + 1])


def drill(rng: random.Random, vocabulary: int, length: int) -> Example:
    """Random tokens in repetition, which only copying can predict."""
    alphabet = rng.sample(range(vocabulary), rng.choice((12, 40, 200)))
    phrase = rng.choices(alphabet, k=rng.randint(4, 24))
    ids: list[int] = []
    weights: list[float] = []
    while len(ids) < length:
        start = rng.randrange(len(phrase) - 2)
        piece = phrase[start : start + rng.randint(4, 16)]
        weights += [0.0] * min(2, len(piece)) + [1.0 if ids else 0.0] * (len(piece) - 2)
        ids += piece
    return Example(ids[:length], weights[:length], "drill")


def batches(
    rng: random.Random,
    encoding: tiktoken.Encoding,
    *,
    scale: int = 1,
    drills: float = 0.0,
    held_out: bool = False,
    unseen: float = 0.0,
    parts: int = 1,
) -> list[Batch]:
    """Settings and fresh dialogues until every row is taken; a share of them are copying drills.

    `scale` multiplies the rows, and the settings, of which there are 4 for each. A batch is split by settings
    into `parts` where the whole would need too much memory.
    """
    groups = 4 * scale
    functions = USUAL_FUNCTIONS if held_out else PRACTISED_FUNCTIONS
    settings = [invent_setting(rng, functions) for _ in range(groups)]
    prefixes = [setting_ids(setting, encoding) for setting in settings]
    room = [(rows * scale, length) for rows, length in BLOCKS]
    blocks: list[list[tuple[int, Example]]] = [[] for _ in room]
    for attempt in range(2 * sum(rows for rows, _ in room)):
        group = attempt % groups
        if rng.random() < drills:
            item = drill(rng, encoding.n_vocab - len(CONTROL), rng.choice(BLOCKS[:2])[1])
        else:
            invented = invent_dialogue(rng, settings[group], held_out=held_out, unseen=unseen)
            item = example(invented, encoding)
            if item.skill == "function" and not held_out and rng.random() < CUT:
                item = choice(item)
        for block, (rows, length) in zip(blocks, room, strict=True):
            if len(item.ids) <= length and len(block) < rows:
                block.append((group, item if held_out else replace(item, jump=_jump(rng, item))))
                break
    long = [] if held_out else [_long(rng, encoding, settings, group) for group in range(scale // 2)]
    return [_part(prefixes, [*blocks, long], first, parts) for first in range(parts)]


def _part(
    prefixes: list[list[int]], blocks: list[list[tuple[int, Example]]], first: int, parts: int
) -> Batch:
    chosen = range(first, len(prefixes), parts)
    groups = {group: i for i, group in enumerate(chosen)}
    own = [[(groups[group], item) for group, item in members if group in groups] for members in blocks]
    return collate([prefixes[group] for group in chosen], own)


def _jump(rng: random.Random, item: Example) -> tuple[int, int]:
    """A jump, in three of ten examples, before the last turn: often between setting and conversation."""
    if rng.random() > 0.3:
        return 0, 0
    return rng.choice((0, 0, item.turn, rng.randint(0, item.turn))), rng.randrange(FARTHEST)


def _long(
    rng: random.Random, encoding: tiktoken.Encoding, settings: list[Setting], group: int
) -> tuple[int, Example]:
    while True:
        dialogue = invent_dialogue(rng, settings[group], turns=rng.randint(*LONG_TURNS))
        if len((item := example(dialogue, encoding)).ids) <= LONG:
            return group, item


def collate(prefixes: list[list[int]], blocks: list[list[tuple[int, Example]]]) -> Batch:
    """Put examples, each with the index of its prefix, into tensors; the longest sets a block's length."""
    prefix, seen = _padded(prefixes, left=True)
    rectangles = [_padded([item.ids for _, item in members]) for members in blocks if members]
    places = np.flatnonzero(np.concatenate([seen.ravel(), *(real.ravel() for _, real in rectangles)]))
    predicted: list[tuple[int, int, float, int]] = []
    skills: list[str] = []
    positions = [np.arange(prefix.shape[1] - len(ids), prefix.shape[1]) for ids in prefixes]
    begin = sum(map(len, prefixes)) - 1
    for _, item in itertools.chain(*blocks):
        predicted += [(begin + i, item.ids[i], w, len(skills)) for i, w in enumerate(item.weights) if w]
        skills.append(item.skill)
        begin += len(item.ids)
        at = np.arange(prefix.shape[1], prefix.shape[1] + len(item.ids))
        at[item.jump[0] :] += item.jump[1]
        positions.append(at)
    predict, target, weight, owner = zip(*predicted, strict=True)
    groups = [torch.tensor([group for group, _ in members]) for members in blocks if members]
    return Batch(
        torch.from_numpy(prefix),
        torch.from_numpy(seen),
        [Block(torch.from_numpy(ids), group) for (ids, _), group in zip(rectangles, groups, strict=True)],
        places=torch.from_numpy(places),
        positions=torch.from_numpy(np.concatenate(positions)),
        predict=torch.tensor(predict),
        target=torch.tensor(target),
        weight=torch.tensor(weight),
        owner=torch.tensor(owner),
        skills=skills,
        tokens=len(places),
        rows=torch.tensor(
            [(len(ids), -1) for ids in prefixes]
            + [(len(item.ids), group) for group, item in itertools.chain(*blocks)]
        ),
    )


def _padded(rows: list[list[int]], *, left: bool = False) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Rows of ids as a rectangle, and the mask of the ids in it."""
    width = max(map(len, rows))
    ids = np.zeros((len(rows), width), dtype=np.int64)
    real = np.zeros((len(rows), width), dtype=np.bool_)
    for i, row in enumerate(rows):
        where = slice(width - len(row), None) if left else slice(len(row))
        ids[i, where] = row
        real[i, where] = True
    return ids, real
