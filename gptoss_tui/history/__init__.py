"""Conversations on disk: finished messages are committed before they are shown, and can be read later."""
