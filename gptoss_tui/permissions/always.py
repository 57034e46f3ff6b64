"""The rules that the answer "always" has made, in a file of ours beside the person's config.toml."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from ..tools import Reach
from .rules import Rule, RuleError

_REACHES = {reach.name.lower(): reach for reach in Reach}


class LastingAnswerError(Exception):
    """The file cannot be read or written; the message is a sentence."""


@dataclass(frozen=True, slots=True)
class LastingAnswer:
    """A rule that allows.

    With a `digest` it holds only while the tool's definition has this one. `reach` is how far the call
    reached for which it was made.
    """

    rule: str
    digest: str = ""
    made: str = ""
    reach: str = "outside"

    def covers(self, reach: Reach) -> bool:
        """Whether it also allows a call that reaches so far."""
        return self.reach in _REACHES and reach <= _REACHES[self.reach]


class LastingAnswers:
    """The file, read anew whenever it is asked: what is revoked in one terminal holds in all.

    It is replaced as a whole, so that a kill leaves the old one or the new one. One that cannot be understood
    is moved aside, and `take_damage` tells of it.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._damage = ""
        self._told = ""

    def read(self) -> list[LastingAnswer]:
        """The rules, oldest first; none where the file is missing, or cannot be read: see `take_damage`."""
        try:
            return self._read()
        except LastingAnswerError as error:
            self._damage = str(error)
            return []

    def take_damage(self) -> str:
        """What was found wrong with the file and not told yet, in a sentence, or nothing."""
        damage = self._damage if self._damage != self._told else ""
        self._damage, self._told = "", damage or self._told
        return damage

    def add(self, rule: str, digest: str, reach: Reach = Reach.OUTSIDE) -> None:
        """Keep one more rule, in the place of one that reads the same; raises LastingAnswerError."""
        with self._alone():
            others = [kept for kept in self._read() if kept.rule != rule]
            self._write([*others, LastingAnswer(rule, digest, date.today().isoformat(), reach.name.lower())])

    def remove(self, kept: LastingAnswer) -> None:
        """Forget a rule; raises LastingAnswerError."""
        with self._alone():
            self._write([other for other in self._read() if other != kept])

    def _read(self) -> list[LastingAnswer]:
        try:
            text = self.file.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            why = f"{self.file} cannot be read ({error.strerror}); its rules do not hold"
            raise LastingAnswerError(why) from error
        try:
            return [_kept(entry) for entry in _entries(json.loads(text))]
        except (ValueError, TypeError, RecursionError):
            self._move_aside()
            return []

    def _move_aside(self) -> None:
        """A damaged file may hold what somebody can mend: it is never written over."""
        aside = self.file.with_name(f"{self.file.stem}.damaged-{secrets.token_hex(3)}{self.file.suffix}")
        try:
            self.file.rename(aside)
        except OSError as error:
            raise LastingAnswerError(
                f"{self.file} is damaged and cannot be moved ({error.strerror})"
            ) from error
        self._damage = f"{self.file} was damaged and is now {aside.name}: what it allowed will be asked again"

    def _write(self, rules: Sequence[LastingAnswer]) -> None:
        text = json.dumps({"allow": [asdict(kept) for kept in rules]}, indent=1) + "\n"
        new = self.file.with_name(f".{self.file.name}.{secrets.token_hex(4)}")
        try:
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
                new.replace(self.file)
            finally:
                new.unlink(missing_ok=True)
        except OSError as error:
            raise LastingAnswerError(f"{self.file} cannot be written ({error.strerror})") from error

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Between reading and writing, no other gptoss-chat may write. The folder is the lock."""
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            folder = os.open(self.file.parent, os.O_RDONLY)
        except OSError as error:
            raise LastingAnswerError(f"{self.file.parent} cannot be used ({error.strerror})") from error
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)


def permissions_file() -> Path:
    """Where the rules are kept on this platform."""
    from platformdirs import user_config_path

    return user_config_path("gptoss-chat") / "permissions.json"


def _entries(document: Any) -> list[Any]:
    if not isinstance(document, dict) or not isinstance(document.get("allow"), list):
        raise ValueError("no list of rules")
    entries: list[Any] = document["allow"]
    return entries


def _kept(entry: Any) -> LastingAnswer:
    kept = LastingAnswer(**entry)
    if not all(isinstance(value, str) for value in asdict(kept).values()):
        raise RuleError("not text")
    Rule.read(kept.rule)
    return kept
