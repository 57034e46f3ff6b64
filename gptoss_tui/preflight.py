"""preflight: what can be known at once to fail, before the screen is taken. Imports nothing heavy."""

from __future__ import annotations

from .conversation.browsing import check_browser
from .conversation.filters.filter import FilterError
from .model.checkpoint import open_checkpoint
from .model.errors import CheckpointError
from .settings import Settings, SettingsError


def preflight(settings: Settings) -> str:
    """Why a conversation cannot begin as the settings ask for it, with the mend; empty if it may."""
    try:
        if "browser" in settings.tools:
            check_browser(settings)
        open_checkpoint(settings.model)
        if settings.reasoning_filter:
            from .conversation.filters.open import check_filter

            check_filter(settings.reasoning_filter)
    except (SettingsError, CheckpointError, FilterError) as error:
        return str(error)
    return ""
