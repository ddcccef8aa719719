"""CLIP2Point's image-depth pre-training (Huang et al. 2023, arXiv:2210.01055)."""
