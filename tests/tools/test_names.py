"""Names of tools: harmony can carry every one, none shadows another, and they lead back."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from gptoss_tui.tools.names import LONGEST, NAME, RESERVED, carried, prefix

ANYTHING = st.text(max_size=100) | st.from_regex(r"[a-z_]{1,12}", fullmatch=True)
NEARLY_THE_SAME = st.text(st.sampled_from("ab_-. é"), max_size=4)


def test_what_can_be_taken_over_is() -> None:
    assert carried("github", ["search_issues", "get_me"]) == {
        "search_issues": "github_search_issues",
        "get_me": "github_get_me",
    }
    assert carried("brave-search", ["web search"]) == {"web search": "bravesearch_web_search"}


def test_what_is_said_without_a_mark_is_spelled_the_same() -> None:
    names = carried("s", ["a-b", "a_b", "a.b"])
    assert names["a_b"] == "s_a_b"
    assert len(set(names.values())) == 3


def test_names_that_mean_something_to_the_model_are_never_given() -> None:
    assert carried("apply", ["patch"])["patch"] not in RESERVED


@given(ANYTHING | NEARLY_THE_SAME, st.lists(ANYTHING | NEARLY_THE_SAME, max_size=12, unique=True))
def test_every_name_can_be_carried_and_leads_back(server: str, tools: list[str]) -> None:
    names = carried(server, tools)
    assert set(names) == set(tools)
    assert len(set(names.values())) == len(tools)
    for name in names.values():
        assert NAME.fullmatch(name)
        assert len(name) <= LONGEST
        assert name not in RESERVED
        assert name.startswith(prefix(server) + "_")
    assert carried(server, reversed(tools)) == names, "the order is no matter"


@given(ANYTHING | NEARLY_THE_SAME, ANYTHING | NEARLY_THE_SAME, ANYTHING, ANYTHING)
def test_no_server_can_take_the_name_of_anothers_tool(one: str, other: str, tool: str, rival: str) -> None:
    if prefix(one) != prefix(other):
        assert carried(one, [tool])[tool] != carried(other, [rival])[rival]


@given(ANYTHING)
def test_a_servers_part_has_letters_and_digits_only(server: str) -> None:
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9]{0,23}", prefix(server))
