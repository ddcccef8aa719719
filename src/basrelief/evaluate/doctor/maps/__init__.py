"""Compare stored depth maps with those of the known projections: which one drew them, from which points."""
