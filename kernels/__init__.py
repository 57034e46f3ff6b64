"""Numerics: the computations of a network's layers. Knows no config and no checkpoint."""
