"""The rules of what may run, and a way to take back those that answers have made."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from gptoss_tui.events.printable import revealed
from gptoss_tui.permissions.always import LastingAnswerError
from gptoss_tui.permissions.policy import Permissions, Standing

_STYLES = {"deny": "$text-error", "ask": "$text-warning", "allow": "$text-success"}


class PermissionsScreen(ModalScreen[None]):
    """Lists every rule with where it comes from; those that weigh most come first."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss", "Close", show=False, id="permissions.close"),
        Binding("r,delete", "revoke", "Revoke", show=False, id="permissions.revoke"),
    ]

    def __init__(self, permissions: Permissions) -> None:
        super().__init__()
        self.permissions = permissions
        self._standing: list[Standing] = []

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = "What may run"
            box.border_subtitle = "r revokes · Esc closes"
            yield OptionList(markup=False)
            yield Static(classes="summary", markup=False)
            yield Static(classes="said", markup=False)

    def on_mount(self) -> None:
        self._list()
        self.query_one(OptionList).focus()

    def action_revoke(self) -> None:
        """Take back the rule that the list points at."""
        place = self.query_one(OptionList).highlighted
        if place is None or place >= len(self._standing):
            return
        chosen = self._standing[place]
        if chosen.answer is None:
            self._say(f"This rule stands in {chosen.origin}; it is changed there.")
            return
        try:
            self.permissions.revoke(chosen)
        except LastingAnswerError as error:
            self._say(str(error))
            return
        self._list()
        self._say(f"Revoked: {chosen.verb} {chosen.rule}")

    def _list(self) -> None:
        self._standing = self.permissions.standing()
        rules = self.query_one(OptionList)
        place = rules.highlighted
        rules.clear_options()
        rules.add_options([Option(_line(one)) for one in self._standing])
        rules.display = bool(self._standing)
        rules.highlighted = min(place or 0, len(self._standing) - 1) if self._standing else None
        nothing = "" if self._standing else "There are no rules. "
        self.query_one(".summary", Static).update(Content(nothing + self.permissions.summary))
        if damage := self.permissions.take_damage():
            self._say(damage)

    def _say(self, text: str) -> None:
        self.query_one(".said", Static).update(Content(revealed(text)))


def _line(standing: Standing) -> Content:
    return Content.assemble(
        (f"{standing.verb:<6}", _STYLES[standing.verb]),
        revealed(standing.rule).replace("\n", "␤"),
        (f"   {standing.origin}", "$muted"),
    )
