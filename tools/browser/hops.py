"""Further addresses that opening a page leads to; the person's rules over addresses judge them too."""

from __future__ import annotations

import json

from ...kinds.address import read
from .. import further
from ..tool import Reach
from .backend import BackendError

TOOL = "browser.open"


class NotFollowedError(BackendError):
    """The person's rules, or the lack of consent, forbid `url`."""

    def __init__(self, told: str, url: str) -> None:
        super().__init__(told)
        self.url = url


def check(url: str, redirected_from: str = "") -> None:
    """Raise NotFollowedError if the browser must not go on to `url`.

    A page that was shown before, or another page of the same site, is allowed unless a rule covers it.
    """
    elsewhere = redirected_from and _site(redirected_from) != _site(url)
    reach = Reach.BOUNDED if elsewhere else Reach.SESSION
    why = further.objection(TOOL, json.dumps({"id": url}), reach)
    if why is not None:
        what = f"It redirects to {url[:200]!a}, which is" if redirected_from else "It is"
        raise NotFollowedError(f"{what} not opened: {why}.", url)


def _site(url: str) -> str:
    return read(url).host.removeprefix("www.")
