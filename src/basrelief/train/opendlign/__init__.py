"""OpenDlign's alignment (Mao et al. 2024, arXiv:2404.16538): depth views to depth-aligned images, by the attention of one block."""

from basrelief.train.opendlign.objective import AlignmentLosses, alignment_losses, alignment_optimiser, pool_features

__all__ = ["AlignmentLosses", "alignment_losses", "alignment_optimiser", "pool_features"]
