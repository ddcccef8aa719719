"""OpenDlign's alignment (Mao et al. 2024, arXiv:2404.16538): depth views to depth-aligned images, by the attention of one block."""

from basrelief.train.opendlign.features import FeatureStore, cache_bytes, evenly_spaced_views, trainable_parameters
from basrelief.train.opendlign.objective import AlignmentLosses, alignment_losses, alignment_optimiser, pool_features
from basrelief.train.opendlign.settings import CACHES, OpenDlignSettings
from basrelief.train.opendlign.trainer import TUNED_FILE, Aligner, TrainOptions, align, tuning_encoder, tuning_model

__all__ = [
    "CACHES",
    "TUNED_FILE",
    "Aligner",
    "AlignmentLosses",
    "FeatureStore",
    "OpenDlignSettings",
    "TrainOptions",
    "align",
    "alignment_losses",
    "alignment_optimiser",
    "cache_bytes",
    "evenly_spaced_views",
    "pool_features",
    "trainable_parameters",
    "tuning_encoder",
    "tuning_model",
]
