"""Open-vocabulary 3D detection on annotated scans: average precision, and every choice of the protocol as an option."""
