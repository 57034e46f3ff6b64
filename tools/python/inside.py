"""The program of the kernel process: IPython's kernel, with each message cut to a bounded size at its source.

The interpreter gets it as text (`python -c`), because inside a sandbox this file does not exist.
"""

from __future__ import annotations

import os
import sys
from typing import Any

TEXT = 100_000  # characters of one string in a message
BINARY = 20_000_000  # base64 characters of one picture


def bounded(value: Any, kind: str = "") -> Any:
    """`value` with every string in it cut; a picture that is too large is dropped, since half is useless."""
    if isinstance(value, dict):
        return {key: bounded(inner, str(key)) for key, inner in value.items()}
    if isinstance(value, list):
        return [bounded(inner) for inner in value[:1000]]
    if not isinstance(value, str) or len(value) <= TEXT:
        return value
    if kind.startswith("image/"):
        return value if len(value) <= BINARY else ""
    head, tail = TEXT * 4 // 5, TEXT // 5
    return f"{value[:head]}\n[… {len(value) - head - tail:,} characters left out …]\n{value[-tail:]}"


def can_open(device: str) -> bool:
    try:
        os.close(os.open(device, os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def main() -> None:
    # The debugger server is a third of the kernel's start-up time, and nothing here can attach to it.
    sys.modules["debugpy"] = None  # type: ignore[assignment]
    from ipykernel.kernelapp import IPKernelApp
    from ipykernel.zmqshell import ZMQInteractiveShell
    from jupyter_client.session import Session

    del sys.modules["debugpy"]
    serialize = Session.serialize

    def serialize_bounded(self: Any, message: dict[str, Any], ident: Any = None) -> Any:
        return serialize(self, {**message, "content": bounded(message.get("content"))}, ident)

    Session.serialize = serialize_bounded
    # The kernel would print how to connect to it; prints during the start are for complaints only.
    IPKernelApp.log_connection_info = lambda self: None  # type: ignore[method-assign]
    # `!command` would use a pseudo-terminal, which not every sandbox has; a pipe suffices.
    if not can_open("/dev/ptmx"):
        ZMQInteractiveShell.system = ZMQInteractiveShell.system_raw
    IPKernelApp.launch_instance(
        [
            *sys.argv[1:],
            "--InteractiveShell.colors=nocolor",
            "--InteractiveShell.xmode=Plain",
            "--HistoryManager.enabled=False",
        ]
    )


if __name__ == "__main__":
    main()
