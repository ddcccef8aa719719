"""Slow, obvious twins of the projections, in numpy: what the fast code must agree with. Each has `depth(points, projection)`."""
