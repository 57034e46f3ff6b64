"""The status line, the last line of the screen: the activity, the effort, the speed and the context."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

_BAR: Final = 10


@dataclass(frozen=True, slots=True)
class Status:
    """The contents of the line. `progress` is a share of 1, or None while there is nothing to measure.

    `effort` is the effort of the next turn, `effort_now` that of the running turn, if any. `danger` is a word
    that stands out.
    """

    model: str
    effort: str
    effort_now: str | None = None
    activity: str = "starting"
    working: bool = True
    progress: float | None = None
    detail: str = ""
    used: int = 0
    limit: int = 0
    tokens_per_s: float = 0.0
    danger: str = ""


class StatusLine(Widget):
    """Shows a `Status`; on a narrow terminal the least important parts give way."""

    status: reactive[Status] = reactive(Status("", ""))

    def __init__(self, status: Status) -> None:
        super().__init__()
        self.set_reactive(StatusLine.status, status)

    def render(self) -> Content:
        """The line for the present width."""
        left, width = _danger(self.status) + _activity(self.status), self.content_size.width
        # From the most to the least important. On the line, the first part comes first and the rest reversed.
        by_importance = [
            _effort(self.status),
            _gauge(self.status, bar=False),
            _rate(self.status),
            self._model(),
        ]
        parts: list[Content] = []
        room = width - left.cell_length
        for part in by_importance:
            if part.cell_length and part.cell_length + 3 <= room:
                parts.append(part)
                room -= part.cell_length + 3
        if _gauge(self.status, bar=False) in parts and room > _BAR:
            parts[parts.index(_gauge(self.status, bar=False))] = _gauge(self.status, bar=True)
            room -= _BAR + 1
        right = Content("   ").join([*parts[:1], *reversed(parts[1:])])
        return Content.assemble(left, " " * max(1, width - left.cell_length - right.cell_length), right)

    def _model(self) -> Content:
        return Content.styled(self.status.model, "$muted")


def _danger(status: Status) -> Content:
    return Content.assemble((status.danger.upper(), "bold $text-error"), " ") if status.danger else Content()


def _activity(status: Status) -> Content:
    mark = ("● ", "$text-primary") if status.working else ("● ", "$text-success")
    bar = () if status.progress is None else (*_bar(status.progress), " ")
    return Content.assemble(mark, (status.activity, "$foreground"), " ", *bar, (status.detail, "$muted"))


def _effort(status: Status) -> Content:
    is_pending = status.effort_now not in (None, status.effort)
    effort = f"{status.effort_now} → {status.effort} next turn" if is_pending else status.effort
    return Content.assemble(("effort ", "$muted"), (effort, "$text-accent"))


def _gauge(status: Status, *, bar: bool) -> Content:
    if not status.limit:
        return Content()
    share = status.used / status.limit
    style = "$text-error" if share > 0.9 else "$text-warning" if share > 0.75 else "$muted"
    numbers = (f"context {_short(status.used)}/{_short(status.limit)}", style)
    return Content.assemble(*_bar(share), " ", numbers) if bar else Content.assemble(numbers)


def _rate(status: Status) -> Content:
    return Content.styled(f"{status.tokens_per_s:.0f} tok/s", "$muted") if status.tokens_per_s else Content()


def _bar(share: float) -> tuple[tuple[str, str], tuple[str, str]]:
    filled = min(_BAR, max(0, round(share * _BAR)))
    return ("━" * filled, "$primary"), ("━" * (_BAR - filled), "$border")


def _short(tokens: int) -> str:
    if tokens < 1_000:
        return str(tokens)
    return f"{tokens / 1000:.1f}k" if tokens < 100_000 else f"{tokens / 1000:.0f}k"
