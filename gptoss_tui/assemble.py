"""A chat as the settings ask for it: its engine, its tools and where it is kept, put together here."""

from __future__ import annotations

from collections.abc import Sequence

from .conversation.approval import Person
from .conversation.chat import Chat, ChatError
from .conversation.codec import Codec
from .conversation.collected import outputs_folder
from .conversation.consent.consent import Consent
from .conversation.consent.kept import KeptRules, permissions_file
from .conversation.filters.filter import FilterError
from .conversation.reasoning import ReasoningPolicy
from .conversation.response_format import read_response_format
from .conversation.store import Store, default_file, files_folder
from .conversation.terms import Terms
from .model.engine import Sampling
from .model.errors import CheckpointError
from .settings import TOOLS, Settings, SettingsError
from .tools import Source, Tool
from .workers.log import log_folder, log_path


def open_chat(
    settings: Settings, person: Person, *, resume: str | None = None, tools: Sequence[Tool] = ()
) -> Chat:
    """A chat as the settings ask for it and with `tools` besides, nothing loaded yet; raises ChatError."""
    from .conversation.filters.open import open_filter
    from .model.checkpoint import open_checkpoint
    from .model.engine.local import LocalEngine

    try:
        response_format = read_response_format(settings.schema) if settings.schema else None
        checkpoint = open_checkpoint(settings.model)
        judge = open_filter(settings)
    except (SettingsError, CheckpointError, FilterError) as error:
        raise ChatError(str(error)) from error
    engine = LocalEngine(
        checkpoint.path,
        name=settings.model,
        device=settings.device,
        context=settings.context,
        threads=settings.threads,
    )
    codec = Codec(checkpoint.path)
    return Chat(
        engine,
        codec,
        [*_tools(settings, codec), *tools],
        person,
        model=settings.model,
        sources=_sources(settings),
        effort=settings.effort,
        terms=Terms(
            settings.instructions,
            response_format,
            Sampling(settings.temperature, settings.top_p, settings.seed, settings.max_tokens),
            settings.constrain_headers,
            settings.max_reasoning_tokens,
            settings.max_tool_calls,
        ),
        consent=Consent(
            settings.ask_for_approval,
            settings.permissions,
            KeptRules(permissions_file()),
            settings.bypass,
        ),
        off=set(TOOLS) - set(settings.tools),
        outputs=outputs_folder(),
        files=files_folder(),
        reasoning=ReasoningPolicy(hidden=settings.reasoning == "hidden", judge=judge),
        store=Store(default_file()),
        resume=resume,
    )


def _tools(settings: Settings, codec: Codec) -> list[Tool]:
    from .tools.python import PythonTool

    tools: list[Tool] = []
    if "python" in settings.tools:
        tools.append(
            PythonTool(
                mode=settings.sandbox,
                container=settings.container,
                bypass=settings.bypass,
                log=log_path("python"),
            )
        )
    if "browser" in settings.tools:
        from .conversation.browsing import open_browser

        try:
            tools += open_browser(settings, codec.count)
        except SettingsError as error:
            raise ChatError(str(error)) from error
    return tools


def _sources(settings: Settings) -> list[Source]:
    from .tools.functions import Functions
    from .tools.mcp import read_servers

    functions = [Functions(named, log=log_path("functions")) for named in settings.functions]
    table = settings.mcpServers
    return [*functions, *read_servers(settings.mcp, table.entries, table.folder, log_folder())]
