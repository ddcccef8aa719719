"""Slow implementations of the projections in numpy, which the fast code must agree with. Each has `depth(points, projection)`."""
