"""Training: shape sets, augmentation, losses and the loop that makes `tiny`. Whoever only infers never imports it."""
