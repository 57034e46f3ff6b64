"""The browser that the settings ask for: the search service, and the place of the search."""

from __future__ import annotations

import pytest

from gptoss_tui.assemble.browser import check_browser, open_browser, who_searches
from gptoss_tui.settings import Settings, SettingsError, read_settings
from gptoss_tui.tools.browser.viewport import estimate


@pytest.mark.parametrize(
    ("chosen", "who", "where"),
    [
        ({}, "duckduckgo", "on the web (DuckDuckGo searches)"),
        ({"searxng": "http://127.0.0.1:8888"}, "searxng", "on the web (SearXNG searches)"),
        ({"documents": "."}, "offline", "among documents on this machine"),
        ({"documents": ".", "search": "exa"}, "exa", "on the web (Exa searches)"),
        ({"search": "you"}, "you", "on the web (You.com searches)"),
        ({"search": "brave"}, "brave", "on the web (Brave searches)"),
    ],
)
def test_the_browser_is_as_the_settings_ask(chosen: dict[str, str], who: str, where: str) -> None:
    settings = read_settings({"tools": "browser", **chosen}, {})
    keys = dict.fromkeys(("EXA_API_KEY", "YDC_API_KEY", "BRAVE_API_KEY"), "k")
    assert who_searches(settings) == who
    tools = open_browser(settings, estimate, keys)
    assert [tool.name for tool in tools] == ["browser.search", "browser.open", "browser.find"]
    assert {tool.where for tool in tools} == {where}


@pytest.mark.parametrize(
    ("chosen", "reason"),
    [
        ({"search": "offline"}, "--documents FOLDER, or --zim FILE"),
        ({"documents": "/nowhere/at/all"}, "/nowhere/at/all: there is no such folder"),
        ({"zim": "/nowhere.zim"}, "/nowhere.zim: there is no such ZIM file"),
        ({"search": "searxng"}, "--searxng http://"),
        ({"searxng": "searx.local"}, "'searx.local' is not an address"),
        ({"search": "exa"}, "needs a key in the environment: EXA_API_KEY"),
        ({"search": "you"}, "YDC_API_KEY"),
    ],
)
def test_what_cannot_work_is_told_before_anything_is_loaded(chosen: dict[str, str], reason: str) -> None:
    settings = read_settings({"tools": "browser", **chosen}, {})
    for attempt in (lambda: check_browser(settings, {}), lambda: open_browser(settings, estimate, {})):
        with pytest.raises(SettingsError) as caught:
            attempt()
        assert reason in str(caught.value)


def test_a_bad_key_is_not_shown() -> None:
    settings = Settings(search="brave", tools=("browser",))
    with pytest.raises(SettingsError) as caught:
        check_browser(settings, {"BRAVE_API_KEY": "my secret\nkey"})
    reason = str(caught.value)
    assert "BRAVE_API_KEY holds no key" in reason and "secret" not in reason
