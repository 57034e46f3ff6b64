"""Child processes of Python: one way to start, ask, bound and end them.

The application's side is `child.py` (the process) and `calls.py` (calls to it), the child's side is
`parent.py`; `wire.py` is the format between the two. `log.py` opens a child's log, `limits.py` bounds its
resources.
"""
