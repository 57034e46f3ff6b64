"""Numerics: MXFP4 and the expert layer. Knows no config and no checkpoint."""
