"""Numerics: what the layers of a network are computed by. Knows no config and no checkpoint."""
