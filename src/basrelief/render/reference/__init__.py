"""Slow, simple implementations of the projections and rasterizers, which the fast ones are tested against."""
