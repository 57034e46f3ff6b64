"""Whether a call may run: rules first (deny, ask, allow), then how far the call reaches."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from ..kinds.address import AddressError, read
from ..kinds.glob import literal
from ..tools import Reach, Risk, Tool
from .always import LastingAnswer, LastingAnswers
from .rules import FIRST, Call, Rule, RuleError, Rules

Policy = Literal["untrusted", "on-request", "never"]
"""What runs by itself where no rule says anything; see `_SUMMARIES`."""

_ASKS_FROM: dict[Policy, Reach] = {
    "untrusted": Reach.BOUNDED,
    "on-request": Reach.OUTSIDE,
    "never": Reach.OUTSIDE,
}
"""The reach from which on a policy does not let a call run by itself. Under "never" it is refused there."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """It runs."""


@dataclass(frozen=True, slots=True)
class Refused:
    """It does not run, and nobody is asked. `why` completes "it was not run: ..."; `remedy` is a sentence."""

    why: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Asked:
    """The person decides. `rule` is what a lasting answer would allow, None where every call is asked."""

    why: str
    rule: Rule | None
    remedy: str
    reach: Reach


Verb = Literal["deny", "ask", "allow"]
_VERBS: tuple[Verb, ...] = get_args(Verb)

_SUMMARIES: dict[Policy, str] = {
    "untrusted": "Everything else is asked about, but for what stays inside the conversation.",
    "on-request": "Else, what reaches outside is asked about; code in the sandbox and pages shown are not.",
    "never": "Else, what reaches outside is refused; code in the sandbox and pages shown are not.",
}

Verdict = Allowed | Refused | Asked


@dataclass(frozen=True, slots=True)
class Standing:
    """A rule in force, for a list; `answer` is set where it came from one, and can be revoked."""

    verb: Verb
    rule: str
    origin: str
    answer: LastingAnswer | None = None


@dataclass(slots=True)
class Permissions:
    """What the person has laid down, before and during the session.

    `rules` are those of the config file, `kept` those that "always" has made (None keeps none). `bypass`
    lets everything run that no rule denies.
    """

    policy: Policy = "on-request"
    rules: Rules = field(default_factory=Rules)
    lasting: LastingAnswers | None = None
    bypass: bool = False
    _session: list[LastingAnswer] = field(default_factory=list)

    def weigh(self, tool: Tool, arguments: str, further: Reach | None = None) -> Verdict:
        """Decide on the call `arguments` of `tool`.

        With `further` it is no call, but what a running one comes to, and how far that reaches. A rule that
        asks about every call has asked about that one.
        """
        call = Call.of(tool.name, tool.parameters, tool.meaning(arguments), tool.kinds)
        risk = tool.risk(arguments) if further is None else Risk(further)
        if denied := _first(self.rules.deny, call, in_doubt=True):
            forbids = f"may forbid it. {risk.doubt}" if risk.doubt else "forbids it"
            return Refused(f"your rule deny {denied} {forbids}", "Take the rule out of config.toml.")
        if self.bypass:
            return Allowed()
        asking = tuple(rule for rule in self.rules.ask if rule.arguments or further is None)
        asked = _first(asking, call, in_doubt=True)
        every_time = asked is not None or risk.reach is Reach.UNCONFINED
        proposal = None if every_time else _proposal(tool, call)
        answered = [] if every_time else self._answered(call)
        if not every_time and (_first(self.rules.allow, call) or risk.reach < _ASKS_FROM[self.policy]):
            return Allowed()
        unchanged = [one for one in answered if one.digest == _digest(tool)]
        if any(one.covers(risk.reach) for one in unchanged):
            return Allowed()
        remedy = _remedy(proposal, asked, risk.reach, self.policy)
        if self.policy == "never":
            return Refused("it would need approval, which --ask-for-approval never refuses", remedy)
        changed = "Its definition is not the one that you allowed." if answered and not unchanged else ""
        doubt = f"{risk.doubt}." if risk.doubt else ""
        why = " ".join(filter(None, (risk.why, doubt, changed)))
        return Asked(why, proposal, remedy, risk.reach)

    def allow_for_session(self, rule: str, tool: Tool, reach: Reach) -> None:
        """What fits `rule` is not asked again until the program ends.

        This holds while `tool` is defined as now, and for calls that reach no further than `reach`: whoever
        allowed a page to be scrolled has not allowed an address that the model made up.
        """
        self._session.append(LastingAnswer(rule, _digest(tool), reach=reach.name.lower()))

    def allow_always(self, rule: str, tool: Tool, reach: Reach) -> None:
        """The same beyond the end of the program; raises LastingAnswerError."""
        if self.lasting is None:
            self.allow_for_session(rule, tool, reach)
        else:
            self.lasting.add(rule, _digest(tool), reach)

    def standing(self) -> list[Standing]:
        """Every rule in force, those that weigh most first."""
        written = [
            Standing(verb, rule.text, "config.toml") for verb in _VERBS for rule in getattr(self.rules, verb)
        ]
        session = [Standing("allow", one.rule, "this session", one) for one in self._session]
        kept = [
            Standing("allow", one.rule, f"always, since {one.made}", one)
            for one in (self.lasting.read() if self.lasting else ())
        ]
        return [*written, *session, *kept]

    def take_damage(self) -> str:
        """What is wrong with the file of rules and was not told yet, in a sentence, or nothing."""
        return self.lasting.take_damage() if self.lasting is not None else ""

    @property
    def summary(self) -> str:
        """What holds where no rule says anything, in a sentence."""
        if self.bypass:
            return "Everything else runs unasked."
        return _SUMMARIES[self.policy]

    def revoke(self, standing: Standing) -> None:
        """Take back what an answer has allowed; rules of config.toml stay. Raises LastingAnswerError."""
        if standing.answer in self._session:
            self._session.remove(standing.answer)
        elif standing.answer is not None and self.lasting is not None:
            self.lasting.remove(standing.answer)

    def _answered(self, call: Call) -> list[LastingAnswer]:
        """The answers that allow the call, if its tool is still what it was then."""
        answers = [*self._session, *(self.lasting.read() if self.lasting else ())]
        return [one for one in answers if Rule.read(one.rule).matches(call)]


def _first(rules: tuple[Rule, ...], call: Call, *, in_doubt: bool = False) -> Rule | None:
    return next((rule for rule in rules if rule.matches(call, in_doubt=in_doubt)), None)


def _digest(tool: Tool) -> str:
    """What consent is tied to. Our own tools are as trustworthy tomorrow as the program is."""
    return tool.digest if tool.origin or tool.name.startswith("functions.") else ""


def _proposal(tool: Tool, call: Call) -> Rule | None:
    """The rule that a lasting answer would make: for a web address that host, else the tool."""
    first = (call.arguments or {}).get(FIRST, "")
    texts = [literal(tool.name)]
    if first and (FIRST in call.kinds or "://" in first):
        texts = [f"{literal(tool.name)}({pattern})" for pattern in _around(first)]
    for text in texts:
        try:
            rule = Rule.read(text)
        except RuleError:
            continue
        if rule.matches(call):
            return rule
    return None


def _around(first: str) -> list[str]:
    """Patterns for the addresses of the same host, and for this one alone."""
    try:
        address = read(first)
    except AddressError:
        return [literal(first)]
    return [f"{literal(address.site)}/*", literal(str(address))]


def _remedy(proposal: Rule | None, asked: Rule | None, reach: Reach, policy: Policy) -> str:
    """How the call could be allowed by somebody who is not there to be asked."""
    if proposal is not None:
        return f'Allow it with `allow = ["{proposal}"]` under [permissions] in config.toml.'
    if asked is not None:
        return f"The rule ask {asked} in config.toml wants it to be asked every time."
    if reach is Reach.UNCONFINED:
        return "--dangerously-bypass-approvals-and-sandbox runs such code unasked."
    return "Run gptoss-chat where you can be asked."
