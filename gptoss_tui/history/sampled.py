"""What the model sampled, before anybody read it: kept beside the messages, so that one can look it up."""

from __future__ import annotations

import json
from collections.abc import Mapping
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


@dataclass(frozen=True, slots=True)
class Sampled:
    """One sample: its raw token ids, and what the model had been told when it began.

    `first` counts the messages of the conversation before it. `channel` is the channel of a header that the
    prompt had already written. `reason` is why the sampling ended, as `Sample` says it.
    """

    first: int
    ids: tuple[int, ...]
    reason: str
    channel: Channel | None
    system: SystemPrompt
    developer: DeveloperPrompt

    def columns(self) -> tuple[int, bytes, str, str | None, bytes]:
        """The sample as the store keeps it: ids as decimals with commas, the prompts as JSON."""
        ids = ",".join(map(str, self.ids)).encode()
        prompts = {"system": asdict(self.system), "developer": asdict(self.developer)}
        return self.first, ids, self.reason, self.channel, json.dumps(prompts, default=_plain).encode()

    @classmethod
    def of(cls, first: int, ids: bytes, reason: str, channel: str | None, prompts: bytes) -> Sampled:
        """The sample that `columns` gave; ValueError, KeyError or TypeError for what no store wrote."""
        told = json.loads(prompts)
        system, developer = told["system"], told["developer"]
        return cls(
            first,
            tuple(int(one) for one in ids.split(b",") if one),
            reason,
            Channel(channel) if channel else None,
            SystemPrompt(**system | {"effort": Effort(system["effort"])}),
            DeveloperPrompt(
                developer["instructions"],
                tuple(Function(**one) for one in developer["functions"]),
                tuple(ResponseFormat(**one) for one in developer["response_formats"]),
            ),
        )


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else str(value)
