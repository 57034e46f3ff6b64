"""Search services on the network, one file each."""

from .brave import Brave
from .duckduckgo import DuckDuckGo
from .exa import Exa
from .searxng import SearXNG
from .you import You

KEYED = {service.variable: service for service in (Exa, You, Brave)}
"""The services that need a key, by the environment variable of the key."""

__all__ = ["KEYED", "Brave", "DuckDuckGo", "Exa", "SearXNG", "You"]
