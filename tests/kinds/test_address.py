"""Addresses and patterns over them: rules judge the place of the connection, however it is spelled."""

from __future__ import annotations

import socket
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss_tui.kinds import address_pattern, text
from gptoss_tui.kinds.address import AddressError, read
from gptoss_tui.kinds.glob import literal
from gptoss_tui.tools.browser import BackendError
from gptoss_tui.tools.browser.network.client import port_of
from gptoss_tui.tools.browser.network.web import Web

# Spellings of the root of a host, and of a page of it, to the fetcher.
ROOT = [
    "https://evil.example/",
    "https://evil.example",
    "https://evil.example#part",
    "https://evil.example?",
    "HTTPS://Evil.EXAMPLE:443/",
    "https://evil.example:0443",
    "https://evil.example:4_43/",
    "https://evil.example:/",
    "https://evil.example./",
    "https://@evil.example/",
    "https://%65vil.example/",
    "https://evil。example/",
    "https://evil.example/.",
    "https://evil.example/a/..",
    "https://evil.example/%2e%2E/",
    "  https://evil.example/\n",
]
PAGE = [
    "https://evil.example/b?q=1",
    "https://evil.example/%62?%71=1#x",
    "https://evil.example/a/%2E%2e/b?q=1",
    "https://evil.example:443/./b?q=1",
]


@pytest.mark.parametrize("address", [spelled for spelled in ROOT if not spelled.endswith("?")])
def test_a_root_has_one_spelling(address: str) -> None:
    assert str(read(address)) == "https://evil.example/"


@pytest.mark.parametrize("address", PAGE)
def test_a_page_has_one_spelling(address: str) -> None:
    assert str(read(address)) == "https://evil.example/b?q=1"


@pytest.mark.parametrize("address", ROOT + PAGE)
@pytest.mark.parametrize(
    "pattern", ["https://evil.example/*", "https://EVIL.example.:443/*", "http*://*evil*"]
)
def test_a_host_is_covered_however_an_address_is_spelled(pattern: str, address: str) -> None:
    assert address_pattern.covers(pattern, address) is True


@pytest.mark.parametrize(
    ("spelled", "one"),
    [
        ("http://0x7f.1/", "http://127.0.0.1/"),
        ("http://2130706433", "http://127.0.0.1/"),
        ("http://127.1./", "http://127.0.0.1/"),
        ("http://0X08080808/a", "http://8.8.8.8/a"),
        ("http://[::ffff:8.8.8.8]/", "http://8.8.8.8/"),
        ("http://[2001:DB8:0::1]/", "http://[2001:db8::1]/"),
        ("https://BÜCHER.example/é", "https://xn--bcher-kva.example/%C3%A9"),
        ("https://a.example/x|y^{z}?a[]=`", "https://a.example/x%7Cy%5E%7Bz%7D?a[]=%60"),
        ("https://a.example/100%", "https://a.example/100%25"),
        ("https://a.example/%%36%35", "https://a.example/%2565"),
        ("https://a.example/%2fb%3F", "https://a.example/%2Fb%3F"),
        ("DOC:///private%2Fa b.md#x", "doc:///private/a%20b.md"),
        ("zim://Wiki/A?b", "zim://wiki/A%3Fb"),
    ],
)
def test_other_spellings(spelled: str, one: str) -> None:
    assert str(read(spelled)) == one
    assert read(one) == read(spelled)


@pytest.mark.parametrize(
    "nothing",
    [
        *("", "3", "evil.example", "https:evil.example", "https:///x", "https://[::1", "https://a..example/"),
        *(
            "https://a\\b/",
            "https://a.example\\@evil.example/",
            "https://u@a.example/",
            "https://u:p@a.example/",
        ),
        *(
            "https://ev\til.example/",
            "https://evil.example/\nx",
            "https://e vil.example",
            "https://ｅvil.example/",
        ),
        *("http://1.2.3.256/", "http://0x/", "http://[fe80::1%25lo]/", "https://*.example/", "https://a:b/"),
    ],
)
def test_what_is_no_address_is_in_doubt(nothing: str) -> None:
    with pytest.raises(AddressError):
        read(nothing)
    if nothing:
        assert address_pattern.covers("https://evil.example/*", nothing) is None
        assert address_pattern.covers("*", nothing) is True


def test_where_nothing_is_connected_to_no_address_fits() -> None:
    assert address_pattern.covers("https://*", "") is False
    assert address_pattern.covers("*", "") is True


@pytest.mark.parametrize(
    ("pattern", "address", "covered"),
    [
        # A host alone is its root.
        ("https://good.example", "https://good.example/", True),
        ("https://good.example", "https://good.example/x", False),
        ("https://good.example", "https://good.example?q", False),
        ("https://good.example?q=*", "https://good.example/?q=1", True),
        # A star stays within its part: beyond it, only as a text.
        ("https://good.example/*", "https://good.example.evil.example/", False),
        ("https://good.example/*", "https://evil.example/?u=https://good.example/", False),
        ("https://good.example/*", "https://good.example@evil.example/", None),
        ("https://*.good.example/*", "https://www.good.example", True),
        ("https://*.good.example/*", "https://good.example/", False),
        ("https://*.good.example/*", "https://evil.example/.good.example/", None),
        ("https://*.good.example/*", "https://evil.example?.good.example/", None),
        ("*.good.example/*", "https://evil.example/x.good.example/y", None),
        ("*good*", "https://www.good.example/x", True),
        ("*GOOD*", "https://www.good.example/x", True),
        ("*good*", "https://evil.example/good", None),
        # Other schemes and ports.
        ("https://good.example/*", "http://good.example/", None),
        ("https://good.example/*", "https://good.example:80/", None),
        ("https://good.example:443/*", "https://good.example:80/", False),
        ("https://good.example:*/*", "https://good.example:8443/x", True),
        ("http*://good.example/*", "http://good.example", True),
        ("*://good.example/*", "http://good.example:80/x", True),
        # Without a scheme.
        ("good.example/*", "https://good.example/x", True),
        ("good.example/*", "http://good.example/x", None),
        ("good.example", "https://good.example/x", None),
        ("*.good.example", "https://www.good.example/", True),
        ("*.good.example", "https://www.good.example/x", None),
        ("*.good.example", "https://good.evil.example/", False),
        # A path that a server may read as another.
        ("https://good.example/@evil/*", "https://good.example/%40evil/x", None),
        ("https://good.example/@evil/*", "https://good.example/%2540evil/x", None),
        ("https://good.example/@evil/*", "https://good.example/a/..%2f@evil/x", None),
        ("https://good.example/@evil/*", "https://good.example/a/..%5C@evil/x", None),
        ("https://good.example/%40evil/*", "https://good.example/@evil/x", None),
        ("https://good.example/@evil/*", "https://good.example/evil/x", False),
        ("https://good.example/a:b", "https://good.example/a%3Ab", None),
        ("https://good.example/(!'+)*", "https://good.example/%28%21%27%2B%29", None),
        ("https://good.example/x?a=(*", "https://good.example/x?a=%28b", None),
        ("https://good.example/admin*", "https://good.example//admin", None),
        ("https://good.example/admin/*", "https://good.example/x%2F..%2Fadmin%2Fy", None),
        ("https://good.example/a//b", "https://good.example/a/b", None),
        ("https://good.example/*", "https://good.example//a%2F..%2Fb?c=%40", True),
        ("https://good.example/public/*", "https://good.example/public/..%2Fprivate", None),
        ("*@evil*", "https://good.example/%40evil/x", None),
        ("*%40evil*", "https://good.example/@evil/x", None),
        # Blanks, ports and IPv6.
        (" https://good.example/* ", "https://good.example/x", True),
        ("https://good.example:443*", "https://good.example/x?q", True),
        ("https://good.example:443*", "https://good.example:4430/", None),
        ("http://[2001:db8::1]:80*", "http://[2001:db8::1]/x", True),
        ("http://[2001:0DB8:*]/*", "http://[2001:db8::1]/x", True),
        ("http://[2001:db8:0:0:*]/*", "http://[2001:db8::1]/x", True),
        ("http://[2001:db8::*]:*/*", "http://[2001:db8::1]:8080/x", True),
        ("http://[2001:0db8:*]", "http://[2001:db9::1]/", False),
        ("http://[*]/*", "http://good.example/", False),
        # Read by the same parser.
        ("https://bücher.example/*", "https://xn--bcher-kva.example/", True),
        ("https://*.bücher.example/*", "https://www.xn--bcher-kva.example/x", True),
        ("https://*ücher.example/*", "https://xn--bcher-kva.example/", None),
        ("https://good.example/a/../%62/*", "https://good.example/b/c", True),
        ("http://0x08080808/*", "http://134744072/x", True),
        ("http://8.8.*/*", "http://0x08080808/x", True),
        ("https://good.example/a\\*b", "https://good.example/a*b", True),
        ("https://good.example/a\\*b", "https://good.example/axb", False),
        ("doc:///private/*", "doc:///private%2Fa.md", True),
        ("doc:///private/*", "doc:///public/private/a.md", False),
    ],
)
def test_what_a_pattern_covers(pattern: str, address: str, covered: bool | None) -> None:
    assert address_pattern.covers(pattern, address) is covered


@pytest.mark.parametrize(
    "pattern",
    [
        *("//evil.example/*", '"https://evil.example/*"', "'https://evil.example/*'", "/admin/*"),
        *("https://u@evil.example/*", "u@evil.example/*", "*://u@evil.example/*", "https://evil.example:x/*"),
        *("https://evil.example:443*/*", "http://[2001:0db8*/*", "http://1.2.3.256/*", "https://a..example/"),
    ],
)
def test_what_no_address_can_fit_has_a_fault(pattern: str) -> None:
    assert "rite " in address_pattern.fault(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        *("", "*", "*@evil*", "*:8080/*", "evil.example", "3", " https://evil.example/* ", "http*"),
        *("https://*ücher.example/*", "http://[2001:0db8:*]/*", "https://evil.example:443*", "doc:///a/*"),
    ],
)
def test_what_may_fit_has_none(pattern: str) -> None:
    assert address_pattern.fault(pattern) == ""


@pytest.mark.parametrize(
    ("pattern", "value", "covered"),
    [
        ("https://good.example/*", "HTTPS://Good.example", True),
        ("https://good.example/*", "https://good.example/\\@evil.example/", None),
        ("https://*.good.example/*", "https://evil.example/.good.example/", None),
        ("https://good.example/*", "see https://good.example/", False),
        ("see *", "see https://good.example/", True),
        ("*.pdf", "https://good.example/a.pdf", True),
    ],
)
def test_a_text_that_is_an_address_is_compared_as_one(pattern: str, value: str, covered: bool | None) -> None:
    assert text.covers(pattern, value) is covered


LABELS = st.text("abcxyz019-_", min_size=1, max_size=6) | st.sampled_from(["bücher", "日本", "xn--bcher-kva"])
HOSTS = st.lists(LABELS, min_size=1, max_size=3).map(".".join) | st.ip_addresses(v=4).map(str)
SEGMENTS = st.text("ab.~-%2eE*é|'[]{}", max_size=6)
PATHS = st.lists(SEGMENTS, max_size=4).map(lambda segments: "".join(f"/{one}" for one in segments))
QUERIES = st.just("") | st.text("ab%2=&?/é'{}|", max_size=8).map("?{}".format)
WEB = st.builds("{}://{}{}{}".format, st.sampled_from(["http", "https"]), HOSTS, PATHS, QUERIES)


@st.composite
def respelled(draw: st.DrawFn) -> tuple[str, str]:
    """An address, and another spelling of it."""
    address = draw(WEB.filter(is_address))
    one = str(read(address))
    scheme, _, rest = one.partition("://")
    site, slash, target = rest.partition("/")
    if draw(st.booleans()):
        site = site.upper()
    if site.replace(".", "").isdecimal() and draw(st.booleans()):
        site = draw(st.sampled_from([str(int(ip_address(site))), hex(int(ip_address(site)))]))
    site += draw(st.sampled_from(["", ".", f":{80 if scheme == 'http' else 443}", ":"]))
    if "%" not in target:
        case = draw(st.sampled_from("xX"))
        target = "".join(f"%{ord(c):02{case}}" if c.isalnum() and draw(st.booleans()) else c for c in target)
    dots = draw(st.sampled_from(["", "./", "a/../", "%2e/", "b/%2E./"]))
    scheme = draw(st.sampled_from([scheme, scheme.upper(), scheme.title()]))
    return one, f"{scheme}://{site}{slash}{dots}{target}{draw(st.sampled_from(['', '#', '#a/b?c']))}"


def is_address(address: str) -> bool:
    try:
        read(address)
    except AddressError:
        return False
    return True


@given(respelled())
def test_every_spelling_is_judged_alike(both: tuple[str, str]) -> None:
    one, other = both
    assert str(read(other)) == one
    for pattern in (literal(one), f"{literal(read(one).site)}/*", literal(other)):
        assert address_pattern.covers(pattern, other) is True
        assert address_pattern.covers(pattern, one) is True


@given(WEB | respelled().map(lambda both: both[1]) | st.text().map("https://{}".format))
def test_what_is_judged_is_what_the_fetcher_connects_to(address: str) -> None:
    web = Web()
    try:
        url = web._checked(address)
    except BackendError:
        return
    judged = read(address)
    assert judged.scheme == url.scheme
    assert (judged.port or port_of(url)) == port_of(url)
    assert read(str(url)) == judged, "the very request that is sent"
    host = url.raw_host.decode()
    if judged.host.replace(".", "").isdecimal():
        found = socket.getaddrinfo(host.removesuffix("."), None, socket.AF_INET, flags=socket.AI_NUMERICHOST)
        assert found[0][4][0] == judged.host, "as the system reads it"
    else:
        assert judged.host == host.removesuffix(".")
    assert str(judged) == str(read(str(judged)))


@given(WEB.filter(is_address), WEB.filter(is_address))
def test_an_allowed_host_never_lends_itself_to_another(allowed: str, address: str) -> None:
    pattern = f"{literal(read(allowed).site)}/*"
    assert (address_pattern.covers(pattern, address) is True) is (read(allowed).site == read(address).site)


@given(st.text(st.sampled_from("*\\:/?#@.[]%ae0\0é "), max_size=14), WEB.filter(is_address))
def test_reading_a_pattern_never_fails(pattern: str, address: str) -> None:
    assert address_pattern.covers(pattern, address) in (True, False, None)


@given(WEB.filter(is_address), st.text(":/?#[]@!$&'()*+,;=%a", max_size=8))
def test_a_denied_path_is_in_doubt_however_it_is_escaped(address: str, path: str) -> None:
    site = read(address).site
    escaped = "".join(f"%{ord(character):02X}" for character in path)
    pattern = f"{site}/{literal(path.replace('%', '%25'))}*"
    if "?" not in path and "#" not in path:
        assert address_pattern.covers(pattern, f"{site}/{escaped}") is not False
