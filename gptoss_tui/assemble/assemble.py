"""The assembly of the runtime and the sessions that the settings ask for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..agent.filters.filter import FilterError
from ..agent.options import Options
from ..agent.reasoning import ReasoningPolicy
from ..agent.renderer import Renderer
from ..agent.response_format import read_response_format
from ..agent.runtime import AgentError, Runtime
from ..agent.session import Session
from ..calls.output import outputs_folder
from ..history.store import Store, default_file, files_folder
from ..model.checkpoint.find import DEMO
from ..model.engine import Sampling
from ..model.errors import CheckpointError
from ..permissions.always import LastingAnswers, permissions_file
from ..permissions.policy import Permissions
from ..permissions.question import Person
from ..settings import TOOLS, Settings, SettingsError
from ..tools import Source, Tool
from ..workers.log import log_folder, log_path


def open_runtime(settings: Settings) -> Runtime:
    """The runtime that the settings ask for, with nothing loaded yet; raises AgentError."""
    from ..model.checkpoint import open_checkpoint
    from ..model.engine.local import LocalEngine
    from .reasoning_filter import open_filter

    try:
        checkpoint = open_checkpoint(settings.model)
        judge = open_filter(settings)
    except (CheckpointError, FilterError) as error:
        raise AgentError(str(error)) from error
    engine = LocalEngine(
        checkpoint.path,
        name=settings.model,
        device=settings.device,
        context=settings.context,
        threads=settings.threads,
        speculate=settings.speculate,
        snapshots=snapshots_folder() if settings.snapshots else None,
        snapshots_bytes=settings.snapshots * 10**6,
    )
    return Runtime(
        engine,
        Renderer(checkpoint.path),
        model=settings.model,
        store=Store(default_file()),
        reasoning=ReasoningPolicy(hidden=settings.reasoning == "hidden", judge=judge),
    )


def snapshots_folder() -> Path:
    """The folder for what the model remembers of the openings of prompts."""
    from platformdirs import user_cache_path

    return user_cache_path("gptoss-chat") / "snapshots"


def open_session(
    settings: Settings,
    person: Person,
    *,
    runtime: Runtime | None = None,
    resume: str | None = None,
    tools: Sequence[Tool] = (),
) -> Session:
    """The session that the settings ask for, with `tools` besides; raises AgentError.

    It runs on `runtime`, which was opened for settings of the same model and filter, or on one of its own.
    """
    runtime = runtime or open_runtime(settings)
    try:
        response_format = read_response_format(settings.schema) if settings.schema else None
        built_in = _tools(settings, runtime.renderer)
    except SettingsError as error:
        raise AgentError(str(error)) from error
    is_demo = settings.model == DEMO
    return Session(
        runtime,
        [*built_in, *tools],
        person,
        sources=_sources(settings),
        effort=settings.effort,
        reasoning=ReasoningPolicy(hidden=True) if settings.reasoning == "hidden" else None,
        options=Options(
            settings.instructions,
            response_format,
            Sampling(settings.temperature, settings.top_p, settings.seed, settings.max_tokens),
            settings.constrain_headers,
            settings.max_reasoning_tokens,
            settings.max_tool_calls,
            settings.read_ahead,
            settings.context_full or ("drop" if is_demo else "compact"),
            sums_up_poorly=is_demo,
        ),
        permissions=Permissions(
            settings.ask_for_approval,
            settings.permissions,
            LastingAnswers(permissions_file()),
            settings.bypass,
        ),
        off=set(TOOLS) - set(settings.tools),
        outputs=outputs_folder(),
        files=files_folder(),
        resume=resume,
    )


def _tools(settings: Settings, renderer: Renderer) -> list[Tool]:
    from ..tools.python import PythonTool

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
        from .browser import open_browser

        tools += open_browser(settings, renderer.count)
    return tools


def _sources(settings: Settings) -> list[Source]:
    from ..tools.functions import Functions
    from ..tools.mcp import read_servers

    functions = [Functions(target, log=log_path("functions")) for target in settings.functions]
    table = settings.mcpServers
    return [*functions, *read_servers(settings.mcp, table.entries, table.folder, log_folder())]
