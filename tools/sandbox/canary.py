"""Runs inside the sandbox and reports, as one JSON line, what it could do there that it must not.

Run as `python -I -S -c SOURCE PORT FILE...`: a port of the person's on the loopback, and files of theirs.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path


def readable(path: str) -> bool:
    """Whether there is anything at `path`; an empty folder is only a place on the way to a mount."""
    place = Path(path)
    return place.is_file() or (place.is_dir() and any(child.is_file() for child in place.iterdir()))


def escapes(port: int, hidden: list[str]) -> list[str]:
    """Everything that got through, in plain words; empty when the confinement holds."""
    found = [f"{path} can be read" for path in (*hidden, "/etc/shadow", "/etc/passwd") if readable(path)]
    for folder in ("/", "/usr", "/etc", "/dev", sys.prefix):
        place = Path(folder, "canary")
        try:
            place.touch()
        except OSError:
            continue
        place.unlink()
        found.append(f"{folder} can be written")
    with socket.socket() as connection:
        connection.settimeout(1)
        if connection.connect_ex(("127.0.0.1", port)) == 0:
            found.append("the network can be reached")
    status = dict(
        line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line
    )
    if status["NoNewPrivs"].strip() != "1":
        found.append("programs may gain privileges")
    if any(int(status[f"Cap{kind}"], 16) for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")):
        found.append("it holds capabilities")
    if os.getuid() == 0:
        found.append("it runs as root")
    return found


if __name__ == "__main__":
    print(json.dumps(escapes(int(sys.argv[1]), sys.argv[2:])))
