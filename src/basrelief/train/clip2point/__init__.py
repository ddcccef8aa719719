"""CLIP2Point's image-depth pre-training (Huang et al. 2023, arXiv:2210.01055)."""

from basrelief.train.clip2point.settings import Clip2PointSettings, OptimiserSettings
from basrelief.train.clip2point.trainer import pretrain, train_clip2point

__all__ = ["Clip2PointSettings", "OptimiserSettings", "pretrain", "train_clip2point"]
