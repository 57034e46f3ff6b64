"""The check of the settings before the screen is taken. Imports nothing heavy."""

from __future__ import annotations

from ..agent.filters.filter import FilterError
from ..model.checkpoint import open_checkpoint
from ..model.errors import CheckpointError
from ..settings import Settings, SettingsError
from .browser import check_browser


def preflight(settings: Settings) -> str:
    """The reason why a conversation cannot begin with these settings, with the mend; "" if it can."""
    try:
        if "browser" in settings.tools:
            check_browser(settings)
        open_checkpoint(settings.model)
        if settings.reasoning_filter:
            from .reasoning_filter import check_filter

            check_filter(settings.reasoning_filter)
    except (SettingsError, CheckpointError, FilterError) as error:
        return str(error)
    return ""
