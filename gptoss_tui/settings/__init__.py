"""The settings: everything that a person may choose, how each value is read, and where it may stand."""

from .keys import KEYS
from .settings import (
    TOOLS,
    Pictures,
    Reasoning,
    Sandbox,
    Search,
    Servers,
    Settings,
    SettingsError,
    WhenFull,
)
from .sources import config_file, read_settings

__all__ = [
    "KEYS",
    "TOOLS",
    "Pictures",
    "Reasoning",
    "Sandbox",
    "Search",
    "Servers",
    "Settings",
    "SettingsError",
    "WhenFull",
    "config_file",
    "read_settings",
]
