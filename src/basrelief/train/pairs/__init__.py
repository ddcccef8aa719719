"""Image-depth pairs: each shape rendered in colour from ten views, with its points, for CLIP2Point's pre-training."""
