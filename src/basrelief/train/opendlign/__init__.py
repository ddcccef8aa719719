"""OpenDlign's alignment of a tuned block with depth-aligned images (Mao et al. 2024, arXiv:2404.16538)."""
