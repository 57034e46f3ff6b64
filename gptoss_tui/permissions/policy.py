"""The decision whether a call may run: the rules first (deny, ask, allow), then the reach of the call."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from ..kinds.address import AddressError, read
from ..kinds.glob import literal
from ..tools import Reach, Risk, Tool
from .always import LastingAnswer, LastingAnswers
from .rules import FIRST, Call, Rule, RuleError, Rules

Policy = Literal["untrusted", "on-request", "never"]
"""Which calls run unasked where no rule decides; see `_SUMMARIES`."""

_ASKS_FROM: dict[Policy, Reach] = {
    "untrusted": Reach.BOUNDED,
    "on-request": Reach.OUTSIDE,
    "never": Reach.OUTSIDE,
}
"""The least reach at which a policy asks about a call; "never" refuses such a call."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """The call runs."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The call does not run, and nobody is asked.

    `why` completes "it was not run: ..."; `remedy` is a sentence.
    """

    why: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Asked:
    """The person decides. `rule` is the rule that a lasting answer would make, if one can be made."""

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
    """A rule in force. `answer` is the revocable answer that made it; None for a rule of config.toml."""

    verb: Verb
    rule: str
    origin: str
    answer: LastingAnswer | None = None


@dataclass(slots=True)
class Permissions:
    """The person's policy and rules, those of the config file and those that answers have made.

    `rules` are those of the config file, `lasting` those that "always" has made (None makes none last).
    `bypass` lets every call run that no rule denies.
    """

    policy: Policy = "on-request"
    rules: Rules = field(default_factory=Rules)
    lasting: LastingAnswers | None = None
    bypass: bool = False
    _session: list[LastingAnswer] = field(default_factory=list)

    def weigh(self, tool: Tool, arguments: str, further: Reach | None = None) -> Verdict:
        """Decide on the call `arguments` of `tool`.

        With `further` the arguments are a further step of a running call, and `further` is its reach. A rule
        that asks about every call of the tool has asked about the running call already.
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
        unchanged = [answer for answer in answered if answer.digest == _digest(tool)]
        if any(answer.covers(risk.reach) for answer in unchanged):
            return Allowed()
        remedy = _remedy(proposal, asked, risk.reach, self.policy)
        if self.policy == "never":
            return Refused("it would need approval, which --ask-for-approval never refuses", remedy)
        changed = "Its definition is not the one that you allowed." if answered and not unchanged else ""
        doubt = f"{risk.doubt}." if risk.doubt else ""
        why = " ".join(filter(None, (risk.why, doubt, changed)))
        return Asked(why, proposal, remedy, risk.reach)

    def allow_for_session(self, rule: str, tool: Tool, reach: Reach) -> None:
        """Let calls that match `rule` run unasked until the program ends.

        The rule holds while the definition of `tool` is the same, and for calls of no further `reach`: a
        person who allowed a page to be scrolled has not allowed an address that the model made up.
        """
        self._session.append(LastingAnswer(rule, _digest(tool), reach=reach.name.lower()))

    def allow_always(self, rule: str, tool: Tool, reach: Reach) -> None:
        """Let calls that match `rule` run unasked in later sessions too; raises LastingAnswerError."""
        if self.lasting is None:
            self.allow_for_session(rule, tool, reach)
        else:
            self.lasting.add(rule, _digest(tool), reach)

    def standing(self) -> list[Standing]:
        """Every rule in force, those that outweigh others first."""
        written = [
            Standing(verb, rule.text, "config.toml") for verb in _VERBS for rule in getattr(self.rules, verb)
        ]
        session = [Standing("allow", answer.rule, "this session", answer) for answer in self._session]
        lasting = [
            Standing("allow", answer.rule, f"always, since {answer.made}", answer)
            for answer in (self.lasting.read() if self.lasting else ())
        ]
        return [*written, *session, *lasting]

    def take_damage(self) -> str:
        """The fault of the file of lasting answers; see `LastingAnswers.take_damage`."""
        return self.lasting.take_damage() if self.lasting is not None else ""

    @property
    def summary(self) -> str:
        """The policy in a sentence: what holds where no rule decides."""
        if self.bypass:
            return "Everything else runs unasked."
        return _SUMMARIES[self.policy]

    def revoke(self, standing: Standing) -> None:
        """Revoke a rule that an answer has made; rules of config.toml stay. Raises LastingAnswerError."""
        if standing.answer in self._session:
            self._session.remove(standing.answer)
        elif standing.answer is not None and self.lasting is not None:
            self.lasting.remove(standing.answer)

    def _answered(self, call: Call) -> list[LastingAnswer]:
        """The answers whose rules match the call, whatever its reach and the definition of its tool."""
        answers = [*self._session, *(self.lasting.read() if self.lasting else ())]
        return [answer for answer in answers if Rule.read(answer.rule).matches(call)]


def _first(rules: tuple[Rule, ...], call: Call, *, in_doubt: bool = False) -> Rule | None:
    return next((rule for rule in rules if rule.matches(call, in_doubt=in_doubt)), None)


def _digest(tool: Tool) -> str:
    """The digest that consent is tied to; "" for a built-in tool, which changes only with the program."""
    return tool.digest if tool.origin or tool.name.startswith("functions.") else ""


def _proposal(tool: Tool, call: Call) -> Rule | None:
    """The rule that a lasting answer would make: over the host of a web address, else over the tool."""
    first = (call.arguments or {}).get(FIRST, "")
    texts = [literal(tool.name)]
    if first and (FIRST in call.kinds or "://" in first):
        texts = [f"{literal(tool.name)}({pattern})" for pattern in _patterns(first)]
    for text in texts:
        try:
            rule = Rule.read(text)
        except RuleError:
            continue
        if rule.matches(call):
            return rule
    return None


def _patterns(first: str) -> list[str]:
    """The patterns for all addresses of the same host, and for this address alone."""
    try:
        address = read(first)
    except AddressError:
        return [literal(first)]
    return [f"{literal(address.site)}/*", literal(str(address))]


def _remedy(proposal: Rule | None, asked: Rule | None, reach: Reach, policy: Policy) -> str:
    """The way to allow such a call beforehand, for where nobody can be asked; a sentence."""
    if proposal is not None:
        return f'Allow it with `allow = ["{proposal}"]` under [permissions] in config.toml.'
    if asked is not None:
        return f"The rule ask {asked} in config.toml wants it to be asked every time."
    if reach is Reach.UNCONFINED:
        return "--dangerously-bypass-approvals-and-sandbox runs such code unasked."
    return "Run gptoss-chat where you can be asked."
