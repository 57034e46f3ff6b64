"""From dialogues to rows of tokens: what is shown, what is predicted, what each token weighs."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import numpy as np
import tiktoken
import torch
from torch import Tensor

from gptoss_tui.harmony.message import Conversation, Message, Role
from gptoss_tui.harmony.render import encode_text, prompt_messages, remembered, render_message

from .dialogues import COPY_BEGIN, COPY_END, Dialogue, Setting, invent_dialogue, invent_setting, plain
from .vocabulary import CONTROL

SPAN_START, SPAN, DECISION = 6.0, 2.0, 3.0
"""Weights of a copied span's first token, of its others, and of the first token of each body, which decides
what the model takes its task to be. Every other predicted token weighs 1."""


BLOCKS = ((14, 96), (12, 160), (10, 256), (8, 448), (3, 800), (2, 1536))
"""Rows and tokens of the blocks that a batch's dialogues are sorted into, and..."""

PREFIXES = (256, 512, 896, 1280)
"""...the lengths that settings are padded to: few shapes, since every new one costs time to prepare for."""

PREDICTED = 256
"""Predicted tokens are padded to a multiple of this, for the same reason."""


@dataclass(frozen=True, slots=True)
class Example:
    """The tokens after the setting; `weights[i]` > 0 where token i has to be predicted."""

    ids: list[int]
    weights: list[float]
    skill: str


@dataclass(frozen=True, slots=True)
class Block:
    """Dialogues of similar length, padded on the right: ids [n, T], and which setting each follows, [n]."""

    ids: Tensor
    group: Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """Settings [groups, P], padded on the left, and the dialogues that follow them.

    `predict` holds the places, in the blocks' ids laid end to end, of the tokens whose successor counts, with
    `target` and `weight` beside it; `owner` says which dialogue a target belongs to, an index into `skills`.
    """

    prefix: Tensor
    prefix_seen: Tensor
    blocks: list[Block]
    predict: Tensor
    target: Tensor
    weight: Tensor
    owner: Tensor
    skills: list[str]
    tokens: int

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        if device.type == "cpu":
            return self
        moved = {
            name: getattr(self, name).to(device, non_blocking=True)
            for name in ("prefix", "prefix_seen", "predict", "target", "weight", "owner")
        }
        blocks = [Block(block.ids.to(device), block.group.to(device)) for block in self.blocks]
        return replace(self, blocks=blocks, **moved)


def setting_ids(setting: Setting, encoding: tiktoken.Encoding) -> list[int]:
    """The system and developer messages as tokens."""
    opening = prompt_messages(Conversation(setting.system, setting.developer))
    return [i for message in opening for i in render_message(message, encoding)]


def example(dialogue: Dialogue, encoding: tiktoken.Encoding) -> Example:
    """Render a dialogue as the product would send and receive it; only its last turn is to be predicted."""
    user = Message(Role.USER, dialogue.turn.user)
    ids: list[int] = []
    for message in remembered([*dialogue.history, user]):
        ids += render_message(message, encoding)
    weights = [0.0] * len(ids)
    given = True  # whether `<|start|>assistant` comes from the renderer rather than from the model
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
    return Example(ids, weights, dialogue.turn.skill)


def _weighted(message: Message, encoding: tiktoken.Encoding) -> tuple[list[int], list[float]]:
    """A completed message's tokens and weights; copied spans are found by their marks."""
    text = plain(message.text)
    ids = render_message(replace(message, text=text), encoding)
    body = encode_text(text, encoding)
    weights = [1.0] * len(ids)
    begin = len(ids) - 1 - len(body)
    if message.recipient and message.recipient.startswith("functions."):
        weights[2:begin] = [SPAN] * (begin - 2)  # the name of the function is copied as well
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
    """Byte offsets, in the unmarked text, at which copied spans begin, and all that lie within one."""
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


def drill(rng: random.Random, vocabulary: int, length: int) -> Example:
    """Random tokens that come again and again: nothing but copying can predict them."""
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


def batch(
    rng: random.Random,
    encoding: tiktoken.Encoding,
    *,
    scale: int = 1,
    drills: float = 0.0,
    held_out: bool = False,
    unseen: float = 0.0,
) -> Batch:
    """Settings and fresh dialogues until every row is taken; a share of them are copying drills.

    `scale` multiplies the rows, and the settings, of which there are 4 for each.
    """
    groups = 4 * scale
    settings = [invent_setting(rng) for _ in range(groups)]
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
        for block, (rows, length) in zip(blocks, room, strict=True):
            if len(item.ids) <= length and len(block) < rows:
                block.append((group, item))
                break
    return collate(prefixes, blocks, scale=scale)


def collate(prefixes: list[list[int]], blocks: list[list[tuple[int, Example]]], *, scale: int = 1) -> Batch:
    """Put examples, each with the index of its prefix, into tensors."""
    longest = max(map(len, prefixes))
    padded = min(length for length in PREFIXES if length >= longest)
    prefix = np.zeros((len(prefixes), padded), dtype=np.int64)
    seen = np.zeros((len(prefixes), padded), dtype=bool)
    for g, ids in enumerate(prefixes):
        prefix[g, padded - len(ids) :] = ids
        seen[g, padded - len(ids) :] = True
    predicted: list[tuple[int, int, float, int]] = []
    skills: list[str] = []
    place = 0
    tensors = []
    for members, (each, length) in zip(blocks, BLOCKS, strict=True):
        rows = each * scale
        shown = np.zeros((rows, length), dtype=np.int64)
        group_of = np.zeros(rows, dtype=np.int64)
        for row, (group, item) in enumerate(members):
            shown[row, : len(item.ids)] = item.ids
            group_of[row] = group
            begin = place + row * length - 1
            predicted += [(begin + i, item.ids[i], w, len(skills)) for i, w in enumerate(item.weights) if w]
            skills.append(item.skill)
        tensors.append(Block(torch.from_numpy(shown), torch.from_numpy(group_of)))
        place += rows * length
    predicted += [(0, 0, 0.0, -1)] * (-len(predicted) % (PREDICTED * scale))
    predict, target, weight, owner = zip(*predicted, strict=True)
    return Batch(
        torch.from_numpy(prefix),
        torch.from_numpy(seen),
        tensors,
        predict=torch.tensor(predict),
        target=torch.tensor(target),
        weight=torch.tensor(weight),
        owner=torch.tensor(owner),
        skills=skills,
        tokens=sum(map(len, prefixes)) + sum(len(item.ids) for block in blocks for _, item in block),
    )
