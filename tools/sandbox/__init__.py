"""Where untrusted code runs: a probe that decides whether confinement holds, a launcher that applies it."""

from .bubblewrap import Folder
from .launch import launch
from .probe import Confinement, probe

__all__ = ["Confinement", "Folder", "launch", "probe"]
