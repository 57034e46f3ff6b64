"""Child processes of Python: one way to start them, to speak with them, to bound them, and to end them.

The application's side is `child.py` (a process) and `calls.py` (what is asked of it), the child's side is
`parent.py`; `wire.py` is what both write. `log.py` is where a child complains, `limits.py` what it may use.
"""
