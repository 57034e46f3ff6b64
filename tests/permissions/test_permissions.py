"""Permissions: what runs, what is refused and what is asked, through the real loop."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from gptoss_tui.calls.toolbox import Toolbox
from gptoss_tui.events.events import (
    Completed,
    Event,
    ToolCall,
    ToolNote,
    ToolOutput,
    ToolRefused,
    ToolStarted,
)
from gptoss_tui.permissions.always import LastingAnswerError, LastingAnswers
from gptoss_tui.permissions.policy import Allowed, Asked, Permissions, Refused
from gptoss_tui.permissions.question import (
    Approval,
    Ballot,
    Crowded,
    Decision,
    GoOn,
    MakeRoom,
    Pause,
    Question,
)
from gptoss_tui.permissions.rules import read_rules
from gptoss_tui.tools import Output, Reach, Risk, Tool
from gptoss_tui.tools.browser import BackendError, Document, Hit, browser_tools

StageMaker = Callable[..., Any]
Caller = Callable[..., Awaitable[list[Event]]]
ANSWER = "<|channel|>final<|message|>4<|return|>"


def script(recipient: str, arguments: str = '{"to": "a"}') -> str:
    return f"<|channel|>commentary to={recipient} <|constrain|>json<|message|>{arguments}<|call|>"


class Probe(Tool):
    """Reaches as far as it is told to, and remembers its calls."""

    parameters: Mapping[str, Any] | None = {"type": "object", "properties": {"to": {"type": "string"}}}

    def __init__(self, reach: Reach, name: str = "functions.probe", why: str = "It may do harm.") -> None:
        self.name = name
        self.reach = reach
        self.why = why
        self.calls: list[str] = []

    def risk(self, arguments: str) -> Risk:
        return Risk(self.reach, self.why)

    async def call(self, arguments: str) -> AsyncGenerator[Output, None]:
        self.calls.append(arguments)
        yield Output("did it")


def of(kind: type[Any], events: list[Event]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


S, B, O, U = Reach.SESSION, Reach.BOUNDED, Reach.OUTSIDE, Reach.UNCONFINED  # noqa: E741
POLICIES = ("untrusted", "on-request", "never")
ASKS: dict[tuple[Reach, str], str] = {
    **{(S, policy): "runs" for policy in POLICIES},
    **dict(zip([(B, policy) for policy in POLICIES], ["asks", "runs", "runs"], strict=True)),
    **dict(zip([(O, policy) for policy in POLICIES], ["asks", "asks", "refused"], strict=True)),
    **dict(
        zip(
            [(U, policy) for policy in POLICIES],
            ["asks every time", "asks every time", "refused"],
            strict=True,
        )
    ),
}
RULES = ("none", "allow", "ask", "deny", "allow ask", "allow deny", "ask deny")


def expected(reach: Reach, policy: str, rule: str, bypass: bool) -> str:
    """The table of docs/security.md."""
    if "deny" in rule:
        return "refused"
    if bypass:
        return "runs"
    if "ask" in rule:
        return "refused" if policy == "never" else "asks every time"
    if "allow" in rule and reach is not Reach.UNCONFINED:
        return "runs"
    return ASKS[reach, policy]


@pytest.mark.parametrize("bypass", [False, True], ids=["", "bypass"])
@pytest.mark.parametrize("answer", [Approval.ONCE, Approval.SESSION, Approval.ALWAYS, Approval.NO])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("reach", list(Reach))
async def test_the_matrix(
    stage: StageMaker,
    somebody: Any,
    tmp_path: Path,
    reach: Reach,
    policy: Any,
    rule: str,
    answer: Approval,
    bypass: bool,
) -> None:
    """Two equal calls: the first is weighed by policy and rules, the second by the answer as well."""
    tool, person = Probe(reach), somebody(answer)
    lists = {verb: ["functions.probe"] for verb in rule.split() if verb != "none"}
    kept = LastingAnswers(tmp_path / "permissions.json")
    permissions = Permissions(policy, read_rules(lists), kept, bypass)
    s = stage(
        script(tool.name), script(tool.name), ANSWER, tools=[tool], person=person, permissions=permissions
    )
    events = await s.play("go")
    outputs = [output.output for output in of(ToolOutput, events)]
    assert isinstance(events[-1], Completed)
    assert len(tool.calls) == len(of(ToolStarted, events)) == outputs.count("did it")

    match expected(reach, policy, rule, bypass):
        case "runs":
            assert (len(tool.calls), len(person.asked)) == (2, 0)
        case "refused":
            assert (len(tool.calls), len(person.asked)) == (0, 0)
            assert all(output.startswith("[ERROR] functions.probe was not run: ") for output in outputs)
            told = of(ToolRefused, events)
            assert len(told) == 2
            assert ("deny functions.probe" in told[0].message) is ("deny" in rule)
        case "asks every time":
            assert len(person.asked) == 2, "no answer lasts"
            assert person.asked[0].rule is None
            assert len(tool.calls) == (0 if answer is Approval.NO else 2)
        case "asks":
            lasts = answer in (Approval.SESSION, Approval.ALWAYS)
            assert len(person.asked) == (1 if lasts else 2)
            assert (person.asked[0].rule, person.asked[0].why) == ("functions.probe", "It may do harm.")
            assert len(tool.calls) == (0 if answer is Approval.NO else 2)
    was_asked_for_good = expected(reach, policy, rule, bypass) == "asks" and answer is Approval.ALWAYS
    assert [one.rule for one in kept.read()] == (["functions.probe"] if was_asked_for_good else [])
    if answer is Approval.NO and person.asked:
        assert "did not allow" in outputs[0]


async def test_always_is_told_and_holds_in_the_next_session(
    stage: StageMaker, somebody: Any, tmp_path: Path
) -> None:
    file = tmp_path / "new" / "permissions.json"
    tool, person = Probe(O), somebody(Approval.ALWAYS)
    s = stage(
        script(tool.name),
        ANSWER,
        tools=[tool],
        person=person,
        permissions=Permissions(lasting=LastingAnswers(file)),
    )
    events = await s.play("go")
    assert "functions.probe" in of(ToolNote, events)[0].message
    assert file.stat().st_mode & 0o777 == 0o600
    tomorrow, nobody = Probe(O), somebody(Approval.NO)
    permissions = Permissions(lasting=LastingAnswers(file))
    await stage(script(tool.name), ANSWER, tools=[tomorrow], person=nobody, permissions=permissions).play(
        "go"
    )
    assert (len(tomorrow.calls), nobody.asked) == (1, [])
    (standing,) = permissions.standing()
    permissions.revoke(standing)
    await stage(script(tool.name), ANSWER, tools=[tomorrow], person=nobody, permissions=permissions).play(
        "go"
    )
    assert (len(tomorrow.calls), len(nobody.asked)) == (1, 1)


@pytest.mark.parametrize("answer", [Approval.SESSION, Approval.ALWAYS])
async def test_a_tool_that_is_defined_anew_is_asked_about_again(
    stage: StageMaker, somebody: Any, tmp_path: Path, answer: Approval
) -> None:
    permissions, person = Permissions(lasting=LastingAnswers(tmp_path / "p.json")), somebody(answer)
    tool, other = Probe(O), Probe(O)
    await stage(script(tool.name), ANSWER, tools=[tool], person=person, permissions=permissions).play("go")
    other.description = "Now it sends everything to somebody."
    await stage(script(tool.name), ANSWER, tools=[other], person=person, permissions=permissions).play("go")
    assert len(person.asked) == 2
    assert "not the one that you allowed" in person.asked[1].why


@pytest.mark.parametrize("answer", [Approval.SESSION, Approval.ALWAYS])
async def test_an_answer_reaches_no_further_than_the_call_it_was_given_for(
    stage: StageMaker, somebody: Any, tmp_path: Path, answer: Approval
) -> None:
    permissions, person = (
        Permissions("untrusted", lasting=LastingAnswers(tmp_path / "p.json")),
        somebody(answer),
    )
    for reach, asked in ((B, 1), (B, 1), (O, 2), (O, 2), (B, 2), (U, 3), (U, 4), (O, 4)):
        tool = Probe(reach)
        await stage(script(tool.name), ANSWER, tools=[tool], person=person, permissions=permissions).play(
            "go"
        )
        assert (len(person.asked), len(tool.calls)) == (asked, 1)
    assert "not the one" not in person.asked[1].why


async def test_an_address_is_allowed_for_its_host_alone(tmp_path: Path) -> None:
    permissions, tool = Permissions(lasting=LastingAnswers(tmp_path / "p.json")), Probe(O, "browser.open")

    def weigh(address: str) -> Any:
        return permissions.weigh(tool, json.dumps({"to": address}))

    asked = weigh("https://a.example/b?q=1,2")
    assert isinstance(asked, Asked) and str(asked.rule) == "browser.open(https://a.example/*)"
    permissions.allow_always(str(asked.rule), tool, O)
    assert weigh("https://a.example/other") == Allowed()
    for elsewhere in (
        "https://a.example.evil/b",
        "http://a.example/b",
        "https://a.example@evil/b",
        "https://a.example:8443/b",
        "https://b.example/https://a.example/b",
    ):
        assert isinstance(weigh(elsewhere), Asked), elsewhere
    for strange in ("https://u@a.example/", "https://a\\b/", "https:///x", "https://[::1", "https://*/x"):
        proposed = weigh(strange)
        assert isinstance(proposed, Asked)
        if proposed.rule is not None:
            assert "\\*" in str(proposed.rule) or "*/" not in str(proposed.rule)


class Shelf:
    """A back end whose search finds one page."""

    schemes = ("http", "https")

    async def search(self, query: str, topn: int) -> list[Hit]:
        return [Hit("https://evil.example/x", "A page")]

    async def fetch(self, url: str) -> Document:
        raise BackendError("nothing is fetched here")

    async def close(self) -> None: ...


async def test_no_spelling_of_an_address_gets_round_a_rule() -> None:
    shelf = Shelf()
    search, tool, _ = browser_tools(shelf, shelf)
    async for _ in search.call('{"query": "x"}'):
        pass
    denied = Permissions(rules=read_rules({"deny": ["browser.open(https://evil.example/*)"]}))
    for named in ('"https://evil.example/y"', '"evil.example/y"', '"HTTPS://Evil.example/y"', "0", '"0"'):
        assert isinstance(denied.weigh(tool, f'{{"id": {named}}}'), Refused), named
    assert denied.weigh(tool, '{"loc": 9}') == Allowed()

    asked = Permissions().weigh(tool, '{"id": "short.example/y"}')
    assert isinstance(asked, Asked)
    assert str(asked.rule) == "browser.open(https://short.example/*)", "and not every address there is"


async def test_a_reason_reaches_the_model_and_an_edited_call_is_asked_about_again(
    stage: StageMaker, somebody: Any
) -> None:
    tool = Probe(O)
    person = somebody(Decision(Approval.NO, reason="not on a Sunday"))
    s = stage(script(tool.name), ANSWER, tools=[tool], person=person)
    await s.play("go")
    assert "and says: not on a Sunday" in s.engine.prompts[1]

    edited = Decision(Approval.EDIT, arguments='{"to": "b"}')
    person = somebody(edited, Approval.ONCE)
    s = stage(script(tool.name), ANSWER, tools=[tool], person=person)
    events = await s.play("go")
    assert [question.arguments for question in person.asked] == ['{"to": "a"}', '{"to": "b"}']
    assert tool.calls == ['{"to": "b"}']
    assert of(ToolStarted, events)[0].arguments == '{"to": "b"}'
    assert 'The user changed the call to: {"to": "b"}' in s.engine.prompts[1]


async def test_an_edit_that_cannot_be_is_shown_to_the_person_and_not_to_the_model(
    stage: StageMaker, somebody: Any
) -> None:
    class Picky(Probe):
        async def objection(self, arguments: str) -> str | None:
            return "[ERROR] to is missing" if "to" not in arguments else None

    tool = Picky(O)
    person = somebody(Decision(Approval.EDIT, arguments="{}"), Approval.NO)
    s = stage(script(tool.name), ANSWER, tools=[tool], person=person)
    await s.play("go")
    assert person.asked[1].objection == "[ERROR] to is missing"
    assert "to is missing" not in s.engine.prompts[1]
    impossible = stage(script(tool.name, "{}"), ANSWER, tools=[tool], person=person)
    person.asked.clear()
    await impossible.play("go")
    assert person.asked == [], "nobody judges a call that is impossible"


async def test_an_edit_into_what_is_allowed_is_asked_about_all_the_same(
    stage: StageMaker, somebody: Any
) -> None:
    tool, permissions = Probe(O), Permissions(rules=read_rules({"allow": ["functions.probe(harmless)"]}))
    person = somebody(Decision(Approval.EDIT, arguments='{"to": "harmless"}'), Approval.NO)
    await stage(script(tool.name), ANSWER, tools=[tool], person=person, permissions=permissions).play("go")
    assert (len(person.asked), tool.calls) == (2, [])


async def test_an_edit_into_what_is_denied_is_refused(stage: StageMaker, somebody: Any) -> None:
    tool, permissions = Probe(O), Permissions(rules=read_rules({"deny": ["functions.probe(secret*)"]}))
    person = somebody(Decision(Approval.EDIT, arguments='{"to": "secrets"}'))
    events = await stage(
        script(tool.name), ANSWER, tools=[tool], person=person, permissions=permissions
    ).play("go")
    assert tool.calls == []
    assert of(ToolRefused, events)


async def test_a_tool_that_cannot_weigh_its_call_does_not_run(stage: StageMaker, somebody: Any) -> None:
    class Broken(Probe):
        def risk(self, arguments: str) -> Risk:
            raise SystemExit("no")

    tool = Broken(S)
    events = await stage(script(tool.name), ANSWER, tools=[tool], person=somebody(Approval.ONCE)).play("go")
    assert tool.calls == []
    assert "SystemExit" in of(ToolOutput, events)[0].output


class Undecided:
    """A person whose answers are cast from outside, as keys are."""

    def __init__(self) -> None:
        self.ballot: Ballot[Decision] = Ballot()

    async def approve(self, question: Question) -> Decision:
        return await self.ballot.result()

    async def go_on(self, pause: Pause) -> GoOn:
        return GoOn.STOP

    async def make_room(self, crowded: Crowded) -> MakeRoom:
        return MakeRoom.STOP


async def test_however_answers_and_stops_cross_there_is_one_decision(called: Caller) -> None:
    """10,000 orders of yes, no and stop, each at a random turn of the loop."""
    dice = random.Random(8)
    outcomes: Counter[str] = Counter()
    for _ in range(10_000):
        tool, person, stop = Probe(O), Undecided(), asyncio.Event()
        box = Toolbox([tool], person)

        async def cast(approval: Approval, *, delay: int, person: Undecided = person) -> bool:
            for _ in range(delay):
                await asyncio.sleep(0)
            return person.ballot.cast(Decision(approval))

        async def halt(*, delay: int, stop: asyncio.Event = stop) -> None:
            for _ in range(delay):
                await asyncio.sleep(0)
            stop.set()

        async def run(box: Toolbox = box, stop: asyncio.Event = stop) -> list[Event]:
            return await called(box, ToolCall("c", "functions.probe", "{}"), stop)

        stopped = dice.random() < 0.7
        casts = [
            cast(dice.choice([Approval.ONCE, Approval.NO, Approval.SESSION]), delay=dice.randrange(14))
            for _ in range(dice.randrange(1, 4))
        ]
        halts = [halt(delay=dice.randrange(14))] if stopped else []
        running = asyncio.ensure_future(run())
        told = await asyncio.gather(*casts, *halts)
        events = await running
        assert sum(one is True for one in told) <= 1
        outputs = of(ToolOutput, events)
        started = of(ToolStarted, events)
        assert len(outputs) == 1
        outcomes["stopped" if "before" in outputs[0].output else outputs[0].output] += 1
        if "before it was run" in outputs[0].output or "did not allow" in outputs[0].output:
            assert tool.calls == [] and started == []
        else:
            assert len(tool.calls) <= len(started) == 1
    assert len(outcomes) >= 3 and min(outcomes.values()) > 20, "the dice never met the interesting orders"


async def test_a_yes_after_the_stop_starts_nothing(called: Caller) -> None:
    tool, person, stop = Probe(O), Undecided(), asyncio.Event()
    events: list[Event] = []

    async def run() -> None:
        events.extend(await called(Toolbox([tool], person), ToolCall("c", tool.name, "{}"), stop))

    task = asyncio.create_task(run())
    await asyncio.sleep(0.01)
    stop.set()
    person.ballot.cast(Decision(Approval.ONCE))
    await task
    assert tool.calls == []
    assert "before it was run" in of(ToolOutput, events)[0].output
    assert not person.ballot.cast(Decision(Approval.ONCE))


WRITER = """
import sys
from pathlib import Path
from gptoss_tui.permissions.always import LastingAnswers
rules = LastingAnswers(Path(sys.argv[1]))
print("ready", flush=True)
for number in range(100_000):
    rules.add(f"functions.f{number % 50}", "d" * 5_000)
"""


def test_a_kill_leaves_rules_that_can_be_read(tmp_path: Path) -> None:
    file = tmp_path / "permissions.json"
    LastingAnswers(file).add("functions.first", "")
    for pause in (0.0, 0.01, 0.03, 0.05):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(file)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(pause)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        rules = LastingAnswers(file)
        assert rules.read()[0].rule == "functions.first"
        assert rules.take_damage() == ""
        rules.add("functions.after", "")
        rules.remove(rules.read()[-1])


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"\xff\x00",
        b"[]",
        b'{"allow": {}}',
        b'{"allow": [1]}',
        b'{"allow": [{"rule": "a b"}]}',
        b'{"allow": [{"rule": 7}]}',
        b'{"allow": [{"rule": "f", "more": "x"}]}',
        b"[" * 100_000,
    ],
)
async def test_a_damaged_file_is_moved_aside_and_told(
    stage: StageMaker, somebody: Any, tmp_path: Path, damage: bytes
) -> None:
    file = tmp_path / "permissions.json"
    file.write_bytes(damage)
    tool, person = Probe(O), somebody(Approval.ALWAYS)
    permissions = Permissions(lasting=LastingAnswers(file))
    events = await stage(
        script(tool.name), ANSWER, tools=[tool], person=person, permissions=permissions
    ).play("go")
    assert len(person.asked) == 1, "what cannot be read allows nothing"
    assert "was damaged" in of(ToolNote, events)[0].message
    (aside,) = tmp_path.glob("permissions.damaged-*.json")
    assert aside.read_bytes() == damage
    assert [one.rule for one in LastingAnswers(file).read()] == ["functions.probe"]


async def test_a_rule_that_cannot_be_written_holds_for_the_session(
    stage: StageMaker, somebody: Any, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("a file where a folder should be")
    permissions = Permissions(lasting=LastingAnswers(tmp_path / "taken" / "permissions.json"))
    tool, person = Probe(O), somebody(Approval.ALWAYS)
    s = stage(
        script(tool.name), script(tool.name), ANSWER, tools=[tool], person=person, permissions=permissions
    )
    events = await s.play("go")
    assert (len(tool.calls), len(person.asked)) == (2, 1)
    assert any("for this session only" in note.message for note in of(ToolNote, events))
    with pytest.raises(LastingAnswerError):
        LastingAnswers(tmp_path / "taken" / "permissions.json").add("f", "")


def test_two_programs_lose_no_rule_of_each_other(tmp_path: Path) -> None:
    file = tmp_path / "permissions.json"
    adder = (
        "import sys; from pathlib import Path; from gptoss_tui.permissions.always import LastingAnswers\n"
        "for n in range(40): LastingAnswers(Path(sys.argv[1])).add(f'f.{sys.argv[2]}{n}', '')"
    )
    both = [subprocess.Popen([sys.executable, "-c", adder, str(file), who]) for who in "ab"]
    assert [one.wait() for one in both] == [0, 0]
    assert len(LastingAnswers(file).read()) == 80
