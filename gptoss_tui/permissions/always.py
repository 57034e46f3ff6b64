"""The rules that the answer "always" has made, in a file of their own beside config.toml."""

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
    """A rule that allows calls.

    With a `digest` the rule holds only while the tool's definition has that digest. `made` is the date of the
    answer, `reach` the reach of the call that the person answered for.
    """

    rule: str
    digest: str = ""
    made: str = ""
    reach: str = "outside"

    def covers(self, reach: Reach) -> bool:
        """Whether the answer holds for a call of this reach."""
        return self.reach in _REACHES and reach <= _REACHES[self.reach]


class LastingAnswers:
    """The file of lasting answers. Each use reads it anew: a rule revoked in one terminal is revoked in all.

    A change replaces the whole file, so that a kill leaves the old file or the new one. A file that cannot be
    parsed is moved aside, and `take_damage` reports it.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._damage = ""
        self._reported = ""

    def read(self) -> list[LastingAnswer]:
        """The answers, oldest first; none where the file is missing or cannot be read: see `take_damage`."""
        try:
            return self._read()
        except LastingAnswerError as error:
            self._damage = str(error)
            return []

    def take_damage(self) -> str:
        """The fault of the file, in a sentence; "" for none, and for one that was reported before."""
        damage = self._damage if self._damage != self._reported else ""
        self._damage, self._reported = "", damage or self._reported
        return damage

    def add(self, rule: str, digest: str, reach: Reach = Reach.OUTSIDE) -> None:
        """Write down a rule, in the place of an equal rule if there is one; raises LastingAnswerError."""
        with self._lock():
            others = [answer for answer in self._read() if answer.rule != rule]
            self._write([*others, LastingAnswer(rule, digest, date.today().isoformat(), reach.name.lower())])

    def remove(self, answer: LastingAnswer) -> None:
        """Forget an answer; raises LastingAnswerError."""
        with self._lock():
            self._write([other for other in self._read() if other != answer])

    def _read(self) -> list[LastingAnswer]:
        try:
            text = self.file.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            why = f"{self.file} cannot be read ({error.strerror}); its rules do not hold"
            raise LastingAnswerError(why) from error
        try:
            return [_parse(entry) for entry in _entries(json.loads(text))]
        except (ValueError, TypeError, RecursionError):
            self._move_aside()
            return []

    def _move_aside(self) -> None:
        """Rename a damaged file. It is never overwritten, for a person may be able to mend it."""
        aside = self.file.with_name(f"{self.file.stem}.damaged-{secrets.token_hex(3)}{self.file.suffix}")
        try:
            self.file.rename(aside)
        except OSError as error:
            raise LastingAnswerError(
                f"{self.file} is damaged and cannot be moved ({error.strerror})"
            ) from error
        self._damage = f"{self.file} was damaged and is now {aside.name}: what it allowed will be asked again"

    def _write(self, answers: Sequence[LastingAnswer]) -> None:
        text = json.dumps({"allow": [asdict(answer) for answer in answers]}, indent=1) + "\n"
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
    def _lock(self) -> Iterator[None]:
        """Keep other processes from writing between our read and our write, by a lock on the folder."""
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
    """The path of the file on this platform."""
    from platformdirs import user_config_path

    return user_config_path("gptoss-chat") / "permissions.json"


def _entries(document: Any) -> list[Any]:
    if not isinstance(document, dict) or not isinstance(document.get("allow"), list):
        raise ValueError("no list of rules")
    entries: list[Any] = document["allow"]
    return entries


def _parse(entry: Any) -> LastingAnswer:
    answer = LastingAnswer(**entry)
    if not all(isinstance(value, str) for value in asdict(answer).values()):
        raise RuleError("not text")
    Rule.read(answer.rule)
    return answer
