"""Write detections to files, one module a format, and read them back from .npz."""
