"""Calls of tools: the tools on offer, and one call from start to end, bounded and contained."""
