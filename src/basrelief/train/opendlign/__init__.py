"""OpenDlign's alignment of a tuned block with depth-aligned images (Mao et al. 2024, arXiv:2404.16538)."""

from basrelief.train.opendlign.features import trainable_parameters
from basrelief.train.opendlign.settings import OpenDlignSettings
from basrelief.train.opendlign.trainer import TUNED_FILE, TrainOptions, align, train_opendlign, training_cost, tuning_encoder

__all__ = [
    "TUNED_FILE",
    "OpenDlignSettings",
    "TrainOptions",
    "align",
    "train_opendlign",
    "trainable_parameters",
    "training_cost",
    "tuning_encoder",
]
