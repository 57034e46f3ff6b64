"""What the model sampled, before anybody read it: kept beside the messages, so that one can look it up."""

from __future__ import annotations

import json
import sys
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..harmony.message import (
    Channel,
    DeveloperPrompt,
    Effort,
    Function,
    ResponseFormat,
    SystemPrompt,
)

Columns = tuple[bytes | str, bytes, int, str, str | None, bytes]


@dataclass(frozen=True, slots=True)
class Sampled:
    """One sample: its raw token ids, and what the model had been told when it began.

    `first` counts the messages of the conversation before it. `channel` is the channel of a header that the
    prompt had already written. `reason` is why the sampling ended, as `Sample` says it. `logprobs` are those
    of the ids, and `prompt_tokens` is the length of what the model was shown; () and 0 where nobody knows.
    """

    first: int
    ids: tuple[int, ...]
    reason: str
    channel: Channel | None
    system: SystemPrompt
    developer: DeveloperPrompt
    logprobs: tuple[float, ...] = ()
    prompt_tokens: int = 0

    def columns(self) -> Columns:
        """The sample as the store keeps it, but for its place.

        Ids are unsigned numbers of 32 bits, little-endian, logprobs floats of 32 bits, the prompts JSON.
        """
        prompts = {"system": asdict(self.system), "developer": asdict(self.developer)}
        return (
            _pack_ids(self.ids),
            _little_endian(array("f", self.logprobs)).tobytes(),
            self.prompt_tokens,
            self.reason,
            self.channel,
            json.dumps(prompts, default=_plain).encode(),
        )

    @classmethod
    def of(cls, first: int, columns: Columns) -> Sampled:
        """The sample that `columns` gave; ValueError, KeyError or TypeError for what no store wrote."""
        ids, logprobs, prompt_tokens, reason, channel, prompts = columns
        told = json.loads(prompts)
        system, developer = told["system"], told["developer"]
        return cls(
            first,
            _unpack_ids(ids),
            reason,
            Channel(channel) if channel else None,
            SystemPrompt(**system | {"effort": Effort(system["effort"])}),
            DeveloperPrompt(
                developer["instructions"],
                tuple(Function(**one) for one in developer["functions"]),
                tuple(ResponseFormat(**one) for one in developer["response_formats"]),
            ),
            tuple(_little_endian(array("f", logprobs))),
            prompt_tokens,
        )


def repack(decimals: bytes) -> bytes | str:
    """Ids of an older version as they are kept now; as they were, if no store wrote them."""
    text = decimals.decode("ascii", "replace")
    try:
        return _pack_ids(_unpack_ids(text))
    except ValueError:
        return text


def _pack_ids(ids: Sequence[int]) -> bytes | str:
    """Four bytes an id. Older versions had decimals with commas, and so has what no vocabulary reaches."""
    try:
        return _little_endian(array("I", ids)).tobytes()
    except OverflowError:
        return ",".join(map(str, ids))


def _unpack_ids(packed: bytes | str) -> tuple[int, ...]:
    if isinstance(packed, str):
        return tuple(int(one) for one in packed.split(",") if one)
    return tuple(_little_endian(array("I", packed)))


def _little_endian(numbers: array[Any]) -> array[Any]:
    """The numbers with the bytes of each in that order, or back."""
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else str(value)
