"""The policy of addresses: hostile spellings against a canary, and public addresses let through."""

from __future__ import annotations

import itertools
from asyncio.selector_events import BaseSelectorEventLoop
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss_tui.tools.browser import BackendError
from gptoss_tui.tools.browser.network.policy import PORTS, IPAddress, Policy, not_public, parse_host
from gptoss_tui.tools.browser.network.sockets import RefusedError
from gptoss_tui.tools.browser.network.web import Web

# Every way found to write an address that is not public. {p} is the port where a canary listens.
FORMS = [
    "http://127.0.0.1:{p}/",
    "http://127.0.0.2:{p}/",
    "http://127.255.255.254:{p}/",
    "http://127.1:{p}/",
    "http://127.0.1:{p}/",
    "http://2130706433:{p}/",
    "http://0x7f000001:{p}/",
    "http://0x7f.0x0.0x0.0x1:{p}/",
    "http://0x7F.1:{p}/",
    "http://0177.0.0.1:{p}/",
    "http://0177.0.0.01:{p}/",
    "http://017700000001:{p}/",
    "http://00000177.1:{p}/",
    "http://127.0.0.1.:{p}/",
    "http://0:{p}/",
    "http://0.0.0.0:{p}/",
    "http://0.0.0.1:{p}/",
    "http://localhost:{p}/",
    "http://LOCALHOST:{p}/",
    "http://localhost.:{p}/",
    "http://localhost.localdomain:{p}/",
    "http://ip6-localhost:{p}/",
    "http://127.0.0.1:{p}/#@good.example/",
    "http://127.0.0.1:{p}?@good.example/",
    "http://good.example@127.0.0.1:{p}/",
    "http://good.example:80@127.0.0.1:{p}/",
    "http://good.example%40127.0.0.1:{p}/",
    "http://good.example\\@127.0.0.1:{p}/",
    "http://127.0.0.1:{p}\\@good.example/",
    "http:\\\\127.0.0.1:{p}\\",
    "http:127.0.0.1:{p}",
    "http:/127.0.0.1:{p}/",
    "http:///127.0.0.1:{p}/",
    "http://127。0。0。1:{p}/",
    "http://１２７.0.0.1:{p}/",
    "http://①②⑦.0.0.1:{p}/",
    "http://ⓛocalhost:{p}/",
    "http://%6cocalhost:{p}/",
    "http://127.0.0.1%2f:{p}/",
    "http://127.0.0.1%00.good.example:{p}/",
    "http://[::1]:{p}/",
    "http://[0:0:0:0:0:0:0:1]:{p}/",
    "http://[0000::0001]:{p}/",
    "http://[::]:{p}/",
    "http://[::127.0.0.1]:{p}/",
    "http://[::7f00:1]:{p}/",
    "http://[::ffff:127.0.0.1]:{p}/",
    "http://[::ffff:7f00:1]:{p}/",
    "http://[0:0:0:0:0:ffff:127.0.0.1]:{p}/",
    "http://[::ffff:0:127.0.0.1]:{p}/",
    "http://[64:ff9b::127.0.0.1]:{p}/",
    "http://[64:ff9b::7f00:1]:{p}/",
    "http://[64:ff9b:1::7f00:1]:{p}/",
    "http://[2002:7f00:1::]:{p}/",
    "http://[2002:a00:1::1]:{p}/",
    "http://[2001:0:4136:e378:8000:63bf:80ff:fffe]:{p}/",  # Teredo, whose client is 127.0.0.1
    "http://[2001:0:7f00:1::1]:{p}/",  # Teredo, whose server is
    "http://[fe80::1]:{p}/",
    "http://[fe80::1%25lo]:{p}/",
    "http://[fec0::1]:{p}/",
    "http://[fc00::1]:{p}/",
    "http://[fd00:ec2::254]:{p}/",
    "http://[ff02::1]:{p}/",
    "http://[2001:db8::1]:{p}/",
    "http://[3fff::1]:{p}/",
    "http://[4000::1]:{p}/",
    "http://10.0.0.1:{p}/",
    "http://172.16.0.1:{p}/",
    "http://172.31.255.255:{p}/",
    "http://192.168.1.1:{p}/",
    "http://169.254.169.254:{p}/latest/meta-data/",
    "http://2852039166:{p}/",  # the same
    "http://0xa9fea9fe:{p}/",
    "http://[::ffff:a9fe:a9fe]:{p}/",
    "http://168.63.129.16:{p}/",
    "http://100.64.0.1:{p}/",
    "http://100.100.100.200:{p}/",
    "http://192.0.0.192:{p}/",
    "http://198.18.0.1:{p}/",
    "http://224.0.0.1:{p}/",
    "http://239.255.255.250:{p}/",
    "http://240.0.0.1:{p}/",
    "http://255.255.255.255:{p}/",
    "file:///etc/passwd",
    "FILE://127.0.0.1/etc/passwd",
    "ftp://127.0.0.1:{p}/",
    "gopher://127.0.0.1:{p}/",
    "data:text/plain,hello",
    "javascript:alert(1)",
    "view-source:file:///etc/passwd",
    "unix:///run/docker.sock",
]
# Names that someone else's name server answers for.
NAMES = {
    "private.example": ["10.0.0.1"],
    "loopback.example": ["127.0.0.1"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "both.example": ["93.184.215.14", "127.0.0.1"],
    "both6.example": ["2606:4700::1111", "::1"],
    "metadata.example": ["169.254.169.254"],
    "nat64.example": ["64:ff9b::a00:1"],
}


async def hello(request: Any, writer: Any) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello")


async def resolve_name(host: str, port: int) -> Sequence[IPAddress]:
    return [ip_address(address) for address in NAMES[host]]


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The addresses to which the loop was asked to connect, whether or not anything listens there."""
    connect, asked = BaseSelectorEventLoop.sock_connect, list[tuple[Any, ...]]()

    async def noted(loop: BaseSelectorEventLoop, sock: Any, address: tuple[Any, ...]) -> None:
        asked.append(address[:2])
        await connect(loop, sock, address)

    monkeypatch.setattr(BaseSelectorEventLoop, "sock_connect", noted)
    return asked


async def test_every_attempt_to_connect_is_seen(attempts: list[Any], serve: Any) -> None:
    server = await serve(hello)
    web = Web(Policy(frozenset({parse_host(f"127.0.0.1:{server.port}")})))
    assert (await web.fetch(server())).body == b"hello"
    assert attempts == [("127.0.0.1", server.port)]


@pytest.mark.parametrize("form", FORMS)
async def test_no_form_of_a_private_address_is_connected_to(form: str, attempts: list[Any]) -> None:
    with pytest.raises(BackendError):
        await Web(Policy(ports=PORTS | {8080})).fetch(form.format(p=8080))
    assert attempts == []


@pytest.mark.parametrize("name", NAMES)
async def test_a_name_is_judged_by_all_its_addresses(name: str, serve: Any) -> None:
    canary = await serve(hello)
    web = Web(Policy(ports=PORTS | {canary.port}), resolve=resolve_name)
    with pytest.raises(RefusedError, match=f"{name} leads to .*only public addresses.*allow_hosts"):
        await web.fetch(f"http://{name}:{canary.port}/")
    assert canary.connections == 0


@pytest.mark.parametrize("form", FORMS)
async def test_nor_does_a_redirect_lead_there(form: str, attempts: list[Any], serve: Any) -> None:
    async def redirect(request: Any, writer: Any) -> None:
        location = form.format(p=8080).encode()
        writer.write(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + location + b"\r\n\r\n")

    site = await serve(redirect)
    web = Web(Policy(frozenset({("site.example", site.port)}), PORTS | {8080}), resolve=at_loopback)
    with pytest.raises(BackendError):
        await web.fetch(site(host="site.example"))
    assert set(attempts) == {("127.0.0.1", site.port)}


async def at_loopback(host: str, port: int) -> Sequence[IPAddress]:
    from gptoss_tui.tools.browser.network.sockets import resolve

    return [ip_address("127.0.0.1")] if host == "site.example" else await resolve(host, port)


async def test_a_name_that_changes_its_answer_gains_nothing(attempts: list[Any]) -> None:
    """Rebinding: public when judged, private when connected to. There is one look-up, and it is judged."""
    answers = itertools.chain(["93.184.215.14"], itertools.repeat("127.0.0.1"))
    asked: list[str] = []

    async def rebind(host: str, port: int) -> Sequence[IPAddress]:
        asked.append(host)
        return [ip_address(next(answers))]

    web = Web(Policy(ports=PORTS | {8080}), resolve=rebind, time_limit=2.0)
    with pytest.raises(BackendError) as error:
        await web.fetch("http://rebind.example:8080/")
    assert not isinstance(error.value, RefusedError)
    assert asked == ["rebind.example"]
    assert set(attempts) == {("93.184.215.14", 8080)}
    with pytest.raises(RefusedError):
        await web.fetch("http://rebind.example:8080/")
    assert set(attempts) == {("93.184.215.14", 8080)}


async def test_what_the_person_allows_is_one_host_by_its_name(serve: Any) -> None:
    server = await serve(hello)
    web = Web(Policy(frozenset({parse_host(f"127.0.0.1:{server.port}")})))
    assert (await web.fetch(server())).body == b"hello"
    for other in ("127.1", "localhost", "[::ffff:127.0.0.1]", "127.0.0.2"):
        with pytest.raises(BackendError):
            await web.fetch(server(host=other))
    assert server.connections == 1


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("wiki.local", ("wiki.local", None)),
        (" Wiki.Local.:8080 ", ("wiki.local", 8080)),
        ("10.0.0.1", ("10.0.0.1", None)),
        ("[::1]:80", ("::1", 80)),
        ("[0:0::1]", ("::1", None)),
    ],
)
def test_a_host_is_named_with_or_without_a_port(text: str, host: tuple[str, int | None]) -> None:
    assert parse_host(text) == host


@pytest.mark.parametrize("text", ["", "http://x", "x/y", "a b", "x:0", "x:70000", "x:y", "u@x", "::1"])
def test_what_is_no_host_is_none(text: str) -> None:
    with pytest.raises(ValueError):
        parse_host(text)


def test_no_host_means_all_of_them() -> None:
    assert not Policy(frozenset({parse_host("*")})).allows("anything.example", 80)


def test_a_host_without_a_port_is_allowed_on_the_webs_own() -> None:
    policy = Policy(frozenset({("wiki.local", None)}))
    assert policy.allows("WIKI.local", 80) and policy.allows("wiki.local.", 443)
    assert not policy.allows("wiki.local", 22)
    assert policy.objection_to_port("wiki.local", 22)


PUBLIC = [
    line
    for line in (Path(__file__).parent / "public_addresses.txt").read_text().split("\n")
    if line[:1] not in ("", "#")
]


def test_public_addresses_are_not_refused() -> None:
    assert len(PUBLIC) >= 200
    policy = Policy()
    assert [a for a in PUBLIC if policy.objection("any.example", 443, ip_address(a))] == []


# IANA's registry of special-purpose IPv4 addresses, the multicast groups, and Azure's metadata.
NOT_PUBLIC = [
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16"),
    *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
    *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
]


@pytest.mark.parametrize("network", NOT_PUBLIC)
def test_a_network_is_refused_from_its_first_address_to_its_last(network: str) -> None:
    inside = IPv4Network(network)
    for address in (inside[0], inside[inside.num_addresses // 2], inside[-1]):
        assert not_public(address)
        assert Policy().objection("any.example", 443, address)
    others = [IPv4Network(other) for other in NOT_PUBLIC]
    for beside in (int(inside[0]) - 1, int(inside[-1]) + 1):
        if 0 <= beside < 2**32 and not any(IPv4Address(beside) in other for other in others):
            assert not_public(IPv4Address(beside)) is None


@given(st.ip_addresses(v=4))
def test_what_python_knows_to_be_private_is_refused(address: IPv4Address) -> None:
    if not address.is_global or address.is_multicast or address.is_reserved:
        assert not_public(address)


@given(st.ip_addresses(v=4))
def test_an_address_in_disguise_is_judged_like_itself(address: IPv4Address) -> None:
    number = int(address)
    disguises = [
        ip_address((0xFFFF << 32) | number),
        ip_address((0x64FF9B << 96) | number),
        ip_address((0x2002 << 112) | (number << 80)),
        ip_address((0xFFFF << 48) | number),
    ]
    assert {bool(not_public(disguise)) for disguise in disguises} == {bool(not_public(address))}
