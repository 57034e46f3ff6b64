"""Rules over addresses, through the real loop: links, redirects, and pages from before the program ended."""

from __future__ import annotations

import json
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss_tui.events.events import Event, ToolOutput, ToolRefused
from gptoss_tui.history.store import Store
from gptoss_tui.permissions.always import LastingAnswers
from gptoss_tui.permissions.policy import Allowed, Asked, Permissions, Refused
from gptoss_tui.permissions.question import Approval
from gptoss_tui.permissions.rules import read_rules
from gptoss_tui.settings import SettingsError, read_settings
from gptoss_tui.tools import Reach
from gptoss_tui.tools.browser import BackendError, Document, Hit, browser_tools
from gptoss_tui.tools.browser.network.policy import IPAddress, Policy
from gptoss_tui.tools.browser.network.web import Web

StageMaker = Callable[..., Any]
HOSTS = ("good.example", "www.good.example", "other.example", "evil.example")
DENY = {"deny": ["browser.open(http://evil.example:*/*)"]}
ANSWER = "<|channel|>final<|message|>So.<|return|>"


def call(function: str, **arguments: Any) -> str:
    return f"<|channel|>analysis to={function} <|constrain|>json<|message|>{json.dumps(arguments)}<|call|>"


def of(kind: type[Any], events: list[Event]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


class Net:
    """A few hosts on one server: `/to/ADDRESS` redirects there, whatever else is a page of `links`."""

    schemes = ("http", "https")

    def __init__(self, server: Any) -> None:
        self.server = server
        self.links: list[str] = []
        allowed = frozenset((host, server.port) for host in HOSTS)
        self.web = Web(Policy(allowed), resolve=self._resolve)

    @classmethod
    async def start(cls, serve: Any) -> Net:
        net: Net

        async def answer(request: Any, writer: Any) -> None:
            _, to, location = request.target.partition("/to/")
            body = "".join(f"<a href='{link}'>x</a>" for link in net.links)
            head = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\n" if to else "HTTP/1.1 200 OK\r\n"
            writer.write(
                f"{head}Content-Type: text/html\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
            )

        net = cls(await serve(answer))
        return net

    async def _resolve(self, host: str, port: int) -> list[IPAddress]:
        return [ip_address("127.0.0.1")]

    def at(self, host: str, path: str = "") -> str:
        return f"http://{host}:{self.server.port}{path}"

    @property
    def reached(self) -> list[str]:
        """The hosts that were connected to, in order."""
        return [request.headers["host"].partition(":")[0] for request in self.server.requests]

    async def search(self, query: str, topn: int) -> list[Hit]:
        return [Hit(link, "A page") for link in self.links]

    async def close(self) -> None: ...

    def tools(self) -> Any:
        return browser_tools(self, self.web)


async def test_a_link_is_judged_by_where_it_leads(stage: StageMaker, serve: Any) -> None:
    net = await Net.start(serve)
    evil = net.at("evil.example")
    net.links = [evil, f"{evil}?q=1", evil.replace("evil", "%65VIL"), f"{evil}/#x", net.at("good.example")]
    opened = [call("browser.open", id=number, cursor=0) for number in range(5)]
    permissions = Permissions(rules=read_rules(DENY), bypass=True)
    s = stage(call("browser.search", query="x"), *opened, ANSWER, tools=net.tools(), permissions=permissions)
    _, *denied, good = of(ToolOutput, await s.play("go"))
    assert [
        output.output for output in denied if "deny browser.open(http://evil.example" not in output.output
    ] == []
    assert not good.is_error
    assert net.reached == ["good.example"]


@pytest.mark.parametrize("bypass", [False, True])
@pytest.mark.parametrize(
    "location",
    [
        "{evil}",
        "{evil}?q=1",
        "{evil}/{long}",
        "//EVIL.example.:{port}/x",
        "/to/{evil}",
        "{other}/to/{evil}/a",
    ],
)
async def test_a_denied_host_is_not_reached_by_a_redirect(
    stage: StageMaker, serve: Any, location: str, bypass: bool
) -> None:
    net = await Net.start(serve)
    places = {"evil": net.at("evil.example"), "other": net.at("other.example")}
    start = net.at("good.example", "/to/" + location.format(**places, port=net.server.port, long="x" * 4000))
    permissions = Permissions(rules=read_rules(DENY), bypass=bypass)
    scripts = (call("browser.search", query="x"), call("browser.open", id=0), ANSWER)
    net.links = [start] if len(start) <= 2048 else []
    if not net.links:  # longer than a link may be, but a redirect may lead there
        net.links = [net.at("good.example", "/long")]
        net.web = Redirecting(net, start)  # type: ignore[assignment]
    told = await stage(*scripts, tools=net.tools(), permissions=permissions).play("go")
    output = of(ToolOutput, told)[1]
    assert "evil.example" not in net.reached
    assert net.reached[0] == "good.example"
    assert output.is_error and "It redirects to 'http://" in output.output.replace("EVIL", "evil")
    assert "your rule deny browser.open(http://evil.example:*/*) forbids it" in output.output
    (refused,) = of(ToolRefused, told)
    assert (
        "deny browser.open(http://evil.example:*/*)" in refused.message and "config.toml" in refused.message
    )


class Redirecting:
    """The web, where every address means `start`."""

    schemes = ("http", "https")

    def __init__(self, net: Net, start: str) -> None:
        self._web, self._start = net.web, start

    async def fetch(self, url: str) -> Document:
        return await self._web.fetch(self._start)

    async def close(self) -> None: ...


async def test_what_a_rule_asks_about_is_asked_and_not_followed(
    stage: StageMaker, serve: Any, somebody: Any
) -> None:
    net = await Net.start(serve)
    net.links = [net.at("good.example", f"/to/{net.at('evil.example')}/")]
    person = somebody(Approval.ONCE)
    rules = read_rules({"ask": ["browser.open(http://evil.example:*/*)"]})
    directly = call("browser.open", id=f"{net.at('evil.example')}/")
    scripts = (call("browser.search", query="x"), call("browser.open", id=0), directly, ANSWER)
    s = stage(*scripts, tools=net.tools(), person=person, permissions=Permissions(rules=rules))
    _, redirect, opened = of(ToolOutput, await s.play("go"))
    assert redirect.is_error and "the user must be asked first" in redirect.output
    assert not opened.is_error
    assert [json.loads(question.arguments)["id"] for question in person.asked] == [
        f"{net.at('evil.example')}/"
    ]
    assert person.asked[0].why == "", "the model did not make the address up"
    assert net.reached == ["good.example", "evil.example"]


@pytest.mark.parametrize(
    ("policy", "rules", "to", "follows"),
    [
        ("on-request", {}, "other.example", True),
        ("untrusted", {}, "www.good.example", True),
        ("untrusted", {}, "other.example", False),
        ("untrusted", {"allow": ["browser.open(http://other.example:*/*)"]}, "other.example", True),
        ("on-request", {"ask": ["browser.open"]}, "www.good.example", True),
        ("never", {"ask": ["browser.open(http://other.example:*/*)"]}, "other.example", False),
        ("never", {}, "other.example", True),
    ],
)
async def test_a_redirect_is_followed_as_far_as_was_agreed_to(
    stage: StageMaker, serve: Any, somebody: Any, policy: Any, rules: Any, to: str, follows: bool
) -> None:
    net = await Net.start(serve)
    net.links = [net.at("good.example", f"/to/{net.at(to)}/")]
    permissions = Permissions(policy, read_rules(rules))
    scripts = (call("browser.search", query="x"), call("browser.open", id=0), ANSWER)
    s = stage(*scripts, tools=net.tools(), person=somebody(Approval.ONCE), permissions=permissions)
    output = of(ToolOutput, await s.play("go"))[1]
    assert net.reached == (["good.example", to] if follows else ["good.example"])
    assert output.is_error is not follows


# After the program has ended


async def resumed(net: Net, stage: StageMaker, file: Path, *scripts: str, **more: Any) -> Any:
    """A conversation in which a page of `net` was opened, at cursor 0, and taken up again."""
    opened = call("browser.open", id=net.at("good.example", "/page"))
    first = stage(opened, ANSWER, tools=net.tools(), store=Store(file))
    await first.play(f"Read {net.at('good.example', '/page')}")
    await first.session.runtime.close()
    net.server.requests.clear()
    again = stage(*scripts, ANSWER, tools=net.tools(), store=Store(file), resume="", **more)
    async for _ in again.session.load():
        pass
    return again


FOLLOW = call("browser.open", id=1, cursor=0)


async def test_a_link_of_an_old_page_is_in_doubt_until_the_page_is_known(
    stage: StageMaker, serve: Any, tmp_path: Path
) -> None:
    net = await Net.start(serve)
    net.links = [net.at("other.example", "/a"), net.at("evil.example")]
    anew, good, evil = (
        call("browser.open", cursor=0),
        call("browser.open", id=0),
        call("browser.open", id=1, cursor=1),
    )
    permissions = Permissions(rules=read_rules(DENY))
    s = await resumed(net, stage, tmp_path / "s", FOLLOW, anew, good, evil, permissions=permissions)
    unknown, page, other, denied = of(ToolOutput, await s.play("Go on"))
    assert unknown.is_error and "may forbid it" in unknown.output
    assert f"opened again, at {net.at('good.example', '/page')}" in unknown.output, "the model is told how"
    assert (page.is_error, other.is_error, denied.is_error) == (False, False, True)
    assert net.reached == ["good.example", "other.example"]


async def test_a_link_of_an_old_page_is_asked_about_where_a_rule_may_ask(
    stage: StageMaker, serve: Any, tmp_path: Path, somebody: Any
) -> None:
    net = await Net.start(serve)
    net.links = [net.at("other.example", "/a"), net.at("evil.example", "/b")]
    person = somebody(Approval.ONCE)
    permissions = Permissions(rules=read_rules({"ask": ["browser.open(http://evil.example:*/*)"]}))
    other = call("browser.open", id=0, cursor=0)
    s = await resumed(net, stage, tmp_path / "s", FOLLOW, other, person=person, permissions=permissions)
    evil, opened = of(ToolOutput, await s.play("Go on"))
    assert person.asked[0].arguments == '{"id": 1, "cursor": 0}'
    assert "Where this link leads is known only once" in person.asked[0].why
    assert person.asked[0].rule is None, "an answer about what is not known does not last"
    assert evil.is_error and "the user must be asked first" in evil.output
    assert not opened.is_error
    assert "evil.example" not in net.reached


async def test_what_is_not_known_is_not_allowed(
    stage: StageMaker, serve: Any, tmp_path: Path, somebody: Any
) -> None:
    net = await Net.start(serve)
    net.links = [net.at("other.example"), net.at("evil.example")]
    person = somebody(Approval.NO)
    permissions = Permissions("untrusted", read_rules({"allow": ["browser.open(http://*.example:*/*)"]}))
    s = await resumed(net, stage, tmp_path / "s", FOLLOW, person=person, permissions=permissions)
    await s.play("Go on")
    assert len(person.asked) == 1
    assert net.reached == []


@pytest.mark.parametrize(
    "again", [call("browser.find", pattern="x", cursor=0), call("browser.open", cursor=0)]
)
async def test_an_old_page_is_not_fetched_anew_against_a_rule(
    stage: StageMaker, serve: Any, tmp_path: Path, again: str
) -> None:
    net = await Net.start(serve)
    permissions = Permissions(
        rules=read_rules({"deny": ["browser.open(http://good.example:*/*)"]}), bypass=True
    )
    s = await resumed(net, stage, tmp_path / "s", again, permissions=permissions)
    (output,) = of(ToolOutput, await s.play("Go on"))
    assert output.is_error and "deny browser.open(http://good.example:*/*) forbids it" in output.output
    assert net.reached == []


# Verdicts


class Shelf:
    """A web of nothing."""

    schemes = ("http", "https")

    async def search(self, query: str, topn: int) -> list[Hit]:
        return []

    async def fetch(self, url: str) -> Document:
        raise BackendError("nothing is fetched here")

    async def close(self) -> None: ...


def verdict(address: str, **rules: list[str]) -> Any:
    """What becomes of opening `address` where what no rule speaks of is asked about."""
    shelf = Shelf()
    tool = browser_tools(shelf, shelf)[1]
    return Permissions("untrusted", read_rules(rules)).weigh(tool, json.dumps({"id": address}))


@pytest.mark.parametrize(
    "address", ["http://evil.example/", "https://evil.example:80/", "https://u@evil.example/"]
)
def test_doubt_denies_and_allows_nothing(address: str) -> None:
    rule = ["browser.open(https://evil.example/*)"]
    assert isinstance(verdict(address, deny=rule), Refused)
    assert isinstance(verdict(address, allow=rule), Asked)


@given(
    st.sampled_from(
        [
            *(
                "https://good.example@evil.org/",
                "https://good.example.evil.org/",
                "https://evil.org/?u=https://good.example/",
            ),
            *(
                "https://evil.org/.good.example/",
                "https://evil.org\\.good.example/",
                "https://evil.org#.good.example/",
            ),
            *("evil.org/x.good.example/", "https://evilgood.example/", "https://evil.org:443/good.example/"),
        ]
    ),
    st.sampled_from(
        [
            *(
                "https://good.example/*",
                "https://*.good.example/*",
                "http*://good.example/*",
                "good.example/*",
            ),
            *("*.good.example/*", "*://good.example/*", "*.good.example*", "id=https://*.good.example/*"),
        ]
    ),
)
def test_what_is_allowed_lends_itself_to_no_other_host(address: str, pattern: str) -> None:
    assert not isinstance(verdict(address, allow=[f"browser.open({pattern})"]), Allowed)


@pytest.mark.parametrize(
    ("kept", "address", "allowed"),
    [
        ("browser.open(https://A.example:443/*)", "https://a.example/x", True),
        ("browser.open(https://a.example/x\\*y?q=1)", "https://a.example/x*y?q=1", True),
        ("browser.open(https://a.example/x\\*y?q=1)", "https://a.example/xzy?q=1", False),
        ("browser.open(https://a.example/*)", "https://a.example", True),
        ("browser.open(https://a.example/*)", "http://a.example/x", False),
        ("browser.open(https://a.example%2F/*)", "https://a.example/x", False),
    ],
)
def test_answers_given_before_hold_or_are_asked_for_again(
    tmp_path: Path, kept: str, address: str, allowed: bool
) -> None:
    permissions = Permissions(lasting=LastingAnswers(tmp_path / "permissions.json"))
    shelf = Shelf()
    tool = browser_tools(shelf, shelf)[1]
    permissions.allow_always(kept, tool, Reach.OUTSIDE)
    found = permissions.weigh(tool, json.dumps({"id": address}))
    assert isinstance(found, Allowed) is allowed


def test_a_lasting_answer_is_written_in_the_one_spelling() -> None:
    asked = verdict("HTTPS://A.Example.:443/%61/../b")
    assert isinstance(asked, Asked) and str(asked.rule) == "browser.open(https://a.example/*)"


async def test_an_address_that_cannot_be_is_not_asked_about() -> None:
    shelf = Shelf()
    tool = browser_tools(shelf, shelf)[1]
    for address in ("https://u@a.example/", "https://a\\b/", "https://a..example/", "https://[::1"):
        objection = await tool.objection(json.dumps({"id": address}))
        assert objection is not None and "cannot be opened" in objection
    for neither in ("view-source:http://a.example/", "a example", "javascript:x", "http:/a.example", "", "x"):
        objection = await tool.objection(json.dumps({"id": neither}))
        assert objection is not None and "is neither" in objection


async def test_what_is_no_address_is_refused_before_anybody_is_asked(
    stage: StageMaker, serve: Any, somebody: Any
) -> None:
    net, person = await Net.start(serve), somebody(Approval.ONCE)
    opened = call("browser.open", id=f"view-source:{net.at('evil.example')}/")
    permissions = Permissions(rules=read_rules({"ask": ["browser.open"]}))
    s = stage(opened, ANSWER, tools=net.tools(), person=person, permissions=permissions)
    (output,) = of(ToolOutput, await s.play("go"))
    assert output.is_error and "is neither" in output.output
    assert person.asked == [] and net.reached == []


def test_examples_are_judged_as_calls_are(tmp_path: Path) -> None:
    def read(verb: str, key: str, example: str) -> None:
        rule = f'{{ rule = "browser.open(https://a.example/*)", {key} = ["browser.open({example})"] }}'
        config = tmp_path / "config.toml"
        config.write_text(f"[permissions]\n{verb} = [{rule}]\n")
        read_settings({}, {"GPTOSS_CHAT_CONFIG": str(config)})

    read("deny", "match", "https://A.example?q=1")
    read("allow", "match", "https://a.example")
    read("allow", "not_match", "https://a.example.org/")
    for verb, key, example in (
        ("deny", "not_match", "https://a.example"),
        ("allow", "match", "https://a.example.org/"),
    ):
        with pytest.raises(SettingsError):
            read(verb, key, example)


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("browser.open(url=https://evil.example/*)", "has no parameter url; it has id, cursor"),
        ("browser.open(https://h.example/x?a=1,b=2)", "has no parameter b; .* write \\*"),
        ("browser.open(https://h.example/x?a=1,id=2)", "speaks of id twice"),
        ("browser.search(q=x)", "it has query"),
        ("python(code=import os*)", r"write python\(VALUE\)"),
        ("browser.open(//evil.example/*)", "Write SCHEME://HOST/PATH"),
        ("browser.open(id=//evil.example/*)", "Write SCHEME://HOST/PATH"),
        ('browser.open("https://evil.example/*")', "without quotes"),
        ("browser.open(https://u@evil.example/*)", "without them"),
        ("browser.open(https://evil.example:443*/*)", "the port is a number"),
    ],
)
@pytest.mark.parametrize("verb", ["allow", "ask", "deny"])
def test_a_rule_that_fits_no_call_is_an_error(tmp_path: Path, verb: str, rule: str, told: str) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f"[permissions]\n{verb} = ['{rule}']\n")
    with pytest.raises(SettingsError, match=told):
        read_settings({}, {"GPTOSS_CHAT_CONFIG": str(config)})


@pytest.mark.parametrize(
    "rule",
    [
        *("browser.open( https://evil.example/* )", "browser.open(id= https://evil.example:443* )"),
        *("browser.open(https://evil.example/*, cursor=-1)", "browser.open(*evil*)", "browser.open"),
    ],
)
def test_what_is_written_otherwise_denies(tmp_path: Path, rule: str) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f"[permissions]\ndeny = ['{rule}']\n")
    rules = read_settings({}, {"GPTOSS_CHAT_CONFIG": str(config)}).permissions
    shelf = Shelf()
    weighed = Permissions(rules=rules).weigh(
        browser_tools(shelf, shelf)[1], '{"id": "https://evil.example/x"}'
    )
    assert isinstance(weighed, Refused)


async def test_a_denied_path_is_not_reached_escaped(stage: StageMaker, serve: Any) -> None:
    net = await Net.start(serve)
    paths = ["/%40evil/x", "/a/..%2f@evil/x", "//@evil/", f"/to/{net.at('good.example', '/%40evil/x')}"]
    hosts = ["good.example"] * 3 + ["other.example"]
    net.links = [net.at(host, path) for host, path in zip(hosts, paths, strict=True)]
    opened = [call("browser.open", id=number, cursor=0) for number in range(len(paths))]
    permissions = Permissions(
        rules=read_rules({"deny": ["browser.open(http://good.example:*/@evil/*)"]}), bypass=True
    )
    s = stage(call("browser.search", query="x"), *opened, ANSWER, tools=net.tools(), permissions=permissions)
    _, *denied = of(ToolOutput, await s.play("go"))
    assert [output.is_error for output in denied] == [True] * len(paths)
    assert [request.target for request in net.server.requests] == [paths[-1]]
