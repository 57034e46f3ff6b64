"""The browser that the settings ask for: the search service, and the source of pages."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..settings import Search as Searcher
from ..settings import Settings, SettingsError
from ..tools import Tool

if TYPE_CHECKING:
    from ..tools.browser.backend import Search
    from ..tools.browser.viewport import Measure


def open_browser(
    settings: Settings, measure: Measure, environment: Mapping[str, str] = os.environ
) -> list[Tool]:
    """The browser's tools; `measure` counts tokens. Raises SettingsError for settings that cannot work."""
    from ..tools.browser import browser_tools

    check_browser(settings, environment)
    searcher = who_searches(settings)
    if searcher == "offline":
        from ..tools.browser.folder import Folder
        from ..tools.browser.library import Library
        from ..tools.browser.zim import Zim

        places = [Folder(settings.documents, _index(settings.documents))] if settings.documents else []
        library = Library(*places, *([Zim(settings.zim)] if settings.zim else []))
        return list(browser_tools(library, library, measure, where="among documents on this machine"))

    from ..tools.browser.network.policy import Policy, parse_host
    from ..tools.browser.network.web import Web

    web = Web(Policy(frozenset(map(parse_host, settings.allow_hosts))))
    search, name = _search(searcher, settings, environment)
    return list(browser_tools(search, web, measure, where=f"on the web ({name} searches)"))


def who_searches(settings: Settings) -> Searcher:
    """The search service that was chosen, or that the other settings imply."""
    if settings.search is not None:
        return settings.search
    if settings.documents or settings.zim:
        return "offline"
    return "searxng" if settings.searxng else "duckduckgo"


def check_browser(settings: Settings, environment: Mapping[str, str] = os.environ) -> None:
    """Check the settings before anything is loaded; raises SettingsError, with the mend."""
    searcher = who_searches(settings)
    match searcher:
        case "offline" if not settings.documents and not settings.zim:
            wanted = "--documents FOLDER, or --zim FILE"
            raise SettingsError(f"search = offline needs documents to search: {wanted}")
        case "offline" if settings.documents and not settings.documents.is_dir():
            raise SettingsError(f"{settings.documents}: there is no such folder of documents")
        case "offline" if settings.zim and not settings.zim.is_file():
            raise SettingsError(f"{settings.zim}: there is no such ZIM file")
        case "offline" if settings.zim and importlib.util.find_spec("libzim") is None:
            raise SettingsError("ZIM files need libzim: pip install 'gptoss-chat[zim]'")
        case "searxng" if not settings.searxng:
            raise SettingsError("search = searxng needs its address: --searxng http://127.0.0.1:8888")
        case "searxng" | "exa" | "you" | "brave":
            _search(searcher, settings, environment)


def _search(searcher: Searcher, settings: Settings, environment: Mapping[str, str]) -> tuple[Search, str]:
    """The search service and its name; raises SettingsError when its key or address is missing or invalid."""
    from ..tools.browser import services

    match searcher:
        case "searxng":
            try:
                return services.SearXNG(settings.searxng or ""), services.SearXNG.name
            except ValueError:
                expected = "an address such as http://127.0.0.1:8888"
                raise SettingsError(f"searxng: {settings.searxng!r} is not {expected}") from None
        case "exa" | "you" | "brave":
            kind = {"exa": services.Exa, "you": services.You, "brave": services.Brave}[searcher]
            key = environment.get(kind.variable, "").strip()
            if not key:
                raise SettingsError(f"search = {searcher} needs a key in the environment: {kind.variable}")
            try:
                return kind(key), kind.name
            except ValueError:
                raise SettingsError(f"the environment variable {kind.variable} holds no key") from None
    return services.DuckDuckGo(), services.DuckDuckGo.name


def _index(documents: Path) -> Path:
    """The file for the index of a folder; the index can be made again at any time."""
    from platformdirs import user_cache_path

    name = hashlib.sha256(os.fsencode(documents.resolve())).hexdigest()[:16]
    return user_cache_path("gptoss-chat") / "documents" / f"{name}.sqlite3"
