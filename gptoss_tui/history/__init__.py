"""Conversations on disk: what is finished is committed before it is shown, and can be looked back at."""
