"""One HTML page that shows detections in 3D."""
