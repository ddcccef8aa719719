"""Image-depth pairs: each shape rendered in colour from ten views, with its points, for CLIP2Point's pre-training."""

from basrelief.train.pairs.draw import PairSettings
from basrelief.train.pairs.make import PairMaker, make_pairs
from basrelief.train.pairs.read import PairSet, open_pairs

__all__ = ["PairMaker", "PairSet", "PairSettings", "make_pairs", "open_pairs"]
