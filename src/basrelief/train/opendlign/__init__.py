"""OpenDlign's alignment (Mao et al. 2024, arXiv:2404.16538): depth views to depth-aligned images, by the attention of one block."""

from basrelief.train.opendlign.features import FeatureStore, cache_bytes, chosen_views, trained_numbers
from basrelief.train.opendlign.objective import AlignmentLosses, alignment_losses, alignment_optimiser, pool_features
from basrelief.train.opendlign.settings import CACHES, OpenDlignSettings
from basrelief.train.opendlign.trainer import TUNED_FILE, Aligner, Watch, align, tuning_encoder, tuning_model

__all__ = [
    "CACHES",
    "TUNED_FILE",
    "Aligner",
    "AlignmentLosses",
    "FeatureStore",
    "OpenDlignSettings",
    "Watch",
    "align",
    "alignment_losses",
    "alignment_optimiser",
    "cache_bytes",
    "chosen_views",
    "pool_features",
    "trained_numbers",
    "tuning_encoder",
    "tuning_model",
]
