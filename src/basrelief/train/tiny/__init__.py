"""Training of `tiny`, the embedded model, from scratch."""
