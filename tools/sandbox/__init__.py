"""Where untrusted code runs: a ladder of sandboxes tried from the top, and a launcher that applies one."""

from .ladder import Confinement, Failure, probe
from .launch import Kind, Program, launch
from .view import Folder

__all__ = ["Confinement", "Failure", "Folder", "Kind", "Program", "launch", "probe"]
