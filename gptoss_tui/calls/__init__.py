"""Calls of tools: what is on offer, and one call from start to end, bounded and contained."""
