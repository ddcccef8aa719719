"""Image-depth pairs: each shape drawn in colour from ten sides, beside its points, as CLIP2Point's pre-training reads them."""

from basrelief.train.pairs.draw import DrawnPair, PairSettings, draw_pair
from basrelief.train.pairs.make import PairMaker, make_pairs, plan_pairs
from basrelief.train.pairs.read import PairSet, open_pairs

__all__ = ["DrawnPair", "PairMaker", "PairSet", "PairSettings", "draw_pair", "make_pairs", "open_pairs", "plan_pairs"]
