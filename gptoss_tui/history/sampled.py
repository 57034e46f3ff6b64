"""The raw samples of the model, which are stored beside the messages so that a person can look them up."""

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
    """One sample: its raw token ids, and the prompts that it began with.

    `first` counts the messages of the conversation before it. `channel` is the channel of a header that the
    prompt had already written. `reason` is why the sampling ended; see `Sample`. `logprobs` are those of the
    ids, and `prompt_tokens` is the length of the prompt; () and 0 where they are unknown.
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
        """The stored values of the sample, without its place.

        Ids are unsigned numbers of 32 bits, little-endian, logprobs floats of 32 bits, the prompts JSON.
        """
        prompts = {"system": asdict(self.system), "developer": asdict(self.developer)}
        return (
            pack_ids(self.ids),
            pack_logprobs(self.logprobs),
            self.prompt_tokens,
            self.reason,
            self.channel,
            json.dumps(prompts, default=_plain).encode(),
        )

    @classmethod
    def of(cls, first: int, columns: Columns) -> Sampled:
        """The sample of `columns`; raises ValueError, KeyError or TypeError for values no store wrote."""
        ids, logprobs, prompt_tokens, reason, channel, prompts = columns
        stored = json.loads(prompts)
        system, developer = stored["system"], stored["developer"]
        return cls(
            first,
            unpack_ids(ids),
            reason,
            Channel(channel) if channel else None,
            SystemPrompt(**system | {"effort": Effort(system["effort"])}),
            DeveloperPrompt(
                developer["instructions"],
                tuple(Function(**function) for function in developer["functions"]),
                tuple(ResponseFormat(**shape) for shape in developer["response_formats"]),
            ),
            unpack_logprobs(logprobs),
            prompt_tokens,
        )


def repack(decimals: bytes) -> bytes | str:
    """The ids of an older version, as this version stores them; unchanged if no store wrote them."""
    text = decimals.decode("ascii", "replace")
    try:
        return pack_ids(unpack_ids(text))
    except ValueError:
        return text


def pack_ids(ids: Sequence[int]) -> bytes | str:
    """Four bytes an id; decimals with commas, as in older versions, for an id that needs more bytes."""
    try:
        return _little_endian(array("I", ids)).tobytes()
    except OverflowError:
        return ",".join(map(str, ids))


def unpack_ids(packed: bytes | str) -> tuple[int, ...]:
    """The ids that are stored as these bytes; raises ValueError for what no store wrote."""
    if isinstance(packed, str):
        return tuple(int(decimal) for decimal in packed.split(",") if decimal)
    return tuple(_little_endian(array("I", packed)))


def pack_logprobs(logprobs: Sequence[float]) -> bytes:
    """Four bytes a number."""
    return _little_endian(array("f", logprobs)).tobytes()


def unpack_logprobs(packed: bytes) -> tuple[float, ...]:
    """The logprobs that are stored as these bytes; raises ValueError for what no store wrote."""
    return tuple(_little_endian(array("f", packed)))


def _little_endian(numbers: array[Any]) -> array[Any]:
    """The numbers with their bytes in little-endian order, or back from it."""
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else str(value)
