"""Segments of a scan without training: voxels, neighbour graph, regions, boxes."""
