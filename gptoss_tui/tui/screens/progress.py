"""The events of a turn, as the status line reports them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePath
from time import monotonic
from typing import Any

from gptoss_tui.agent.session import Session
from gptoss_tui.events import events
from gptoss_tui.events.printable import printable
from gptoss_tui.tui.widgets.status_line import StatusLine
from gptoss_tui.tui.widgets.turn_pane import TurnPane


class Progress:
    """Keeps the status line up to date."""

    def __init__(self, line: StatusLine) -> None:
        self._line = line
        self._loading = False
        self._tokens = 0
        self._writing_s = 0.0
        self._last_token: float | None = None

    def report(self, **changes: Any) -> None:
        """Change fields of the line's `Status`."""
        self._line.status = replace(self._line.status, **changes)

    def follow(self, event: events.Event) -> None:
        """Update the line after an event."""
        match event:
            case events.EngineLoading(stage=stage, done=done, total=total):
                self._loading = True
                share = done / total if total else None
                percent = "" if share is None else f"{share:.0%}"
                self.report(activity=printable(stage), working=True, progress=share, detail=percent)
            case events.EngineReady(context=context):
                self._loading = False
                self.report(limit=context, progress=None, detail="")
            case events.ToolsStarting(waiting=waiting):
                self._loading = True
                who = ", ".join(PurePath(origin).name for origin in waiting)
                self.report(activity=printable(f"starting {who}"), working=True, progress=None, detail="")
            case events.Created(effort=effort):
                self._tokens, self._writing_s, self._last_token = 0, 0.0, None
                self.report(effort_now=effort, activity="reading", working=True, progress=None, detail="")
            case events.Prefill(done=done, total=total, cached=cached):
                self._loading, self._last_token = False, None
                remembered = f", {cached:,} cached" if cached else ""
                share = done / total if total else None
                self.report(progress=share, detail=f"{done:,}/{total:,} tokens{remembered}")
            case (
                events.ReasoningDelta()
                | events.ReasoningProgress()
                | events.OutputDelta()
                | events.PreambleDelta()
                | events.ToolCallDelta()
            ):
                self._count()
            case events.Compacting(tokens=tokens):
                self._loading, self._last_token = False, None
                detail = f"{tokens:,} tokens" if tokens else ""
                self.report(activity="summing up", working=True, progress=None, detail=detail)
            case events.ToolOutput():
                self._last_token = None
            case events.Completed(timings=timings) | events.Incomplete(timings=timings):
                self._loading = False
                if timings.decode_tokens_per_s:
                    self.report(tokens_per_s=timings.decode_tokens_per_s)

    def measure(self, turn: TurnPane, session: Session) -> None:
        """Update the figures of the line while a turn runs."""
        rate = self._tokens / self._writing_s if self._writing_s else self._line.status.tokens_per_s
        changes: dict[str, Any] = {
            "used": session.context_used,
            "limit": session.runtime.context_limit,
            "tokens_per_s": rate,
        }
        if not self._loading and self._line.status.activity != "stopping":
            changes["activity"] = turn.activity
        self.report(**changes)

    def idle(self, session: Session) -> None:
        """Reset the line: nothing is going on."""
        self.report(
            activity="ready",
            working=False,
            progress=None,
            detail="",
            effort_now=None,
            used=session.context_used,
            limit=session.runtime.context_limit,
        )

    def _count(self) -> None:
        """Count a token and the time since the last token, but not the time that a prompt or a tool takes."""
        now = monotonic()
        if self._last_token is None:
            self.report(progress=None, detail="")
        else:
            self._writing_s += now - self._last_token
            self._tokens += 1
        self._last_token = now
