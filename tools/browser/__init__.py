"""The browser tool: pages as numbered lines and links, from a network or from this machine."""

from .backend import BackendError, Document, Fetch, Hit, Search

__all__ = ["BackendError", "Document", "Fetch", "Hit", "Search"]
