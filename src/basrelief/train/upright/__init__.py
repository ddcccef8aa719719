"""Training of the upright network behind `--pose`."""
