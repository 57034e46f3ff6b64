"""The permission rules on a screen of their own, where those that answers have made can be revoked."""

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
    """Lists every rule with its origin, those that outweigh others first."""

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
            yield Static(classes="report", markup=False)

    def on_mount(self) -> None:
        self._list()
        self.query_one(OptionList).focus()

    def action_revoke(self) -> None:
        """Revoke the highlighted rule."""
        place = self.query_one(OptionList).highlighted
        if place is None or place >= len(self._standing):
            return
        rule = self._standing[place]
        if rule.answer is None:
            self._report(f"This rule stands in {rule.origin}; it is changed there.")
            return
        try:
            self.permissions.revoke(rule)
        except LastingAnswerError as error:
            self._report(str(error))
            return
        self._list()
        self._report(f"Revoked: {rule.verb} {rule.rule}")

    def _list(self) -> None:
        self._standing = self.permissions.standing()
        rules = self.query_one(OptionList)
        place = rules.highlighted
        rules.clear_options()
        rules.add_options([Option(_line(standing)) for standing in self._standing])
        rules.display = bool(self._standing)
        rules.highlighted = min(place or 0, len(self._standing) - 1) if self._standing else None
        nothing = "" if self._standing else "There are no rules. "
        self.query_one(".summary", Static).update(Content(nothing + self.permissions.summary))
        if damage := self.permissions.take_damage():
            self._report(damage)

    def _report(self, text: str) -> None:
        self.query_one(".report", Static).update(Content(revealed(text)))


def _line(standing: Standing) -> Content:
    return Content.assemble(
        (f"{standing.verb:<6}", _STYLES[standing.verb]),
        revealed(standing.rule).replace("\n", "␤"),
        (f"   {standing.origin}", "$muted"),
    )
