"""CLIP2Point's image-depth pre-training (Huang et al. 2023, arXiv:2210.01055)."""

from basrelief.train.clip2point.objective import PairLosses, pair_losses
from basrelief.train.clip2point.settings import Clip2PointSettings, OptimiserSettings
from basrelief.train.clip2point.trainer import Pretrainer, pretrain

__all__ = ["Clip2PointSettings", "OptimiserSettings", "PairLosses", "Pretrainer", "pair_losses", "pretrain"]
