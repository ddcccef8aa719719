"""Heads: what is learned from a few labelled shapes on top of frozen view features."""

from basrelief.tasks.heads.base import FitOptions, Head
from basrelief.tasks.heads.kinds import HEADS, HeadKind, fit_head, head_scores, read_head

__all__ = ["HEADS", "FitOptions", "Head", "HeadKind", "fit_head", "head_scores", "read_head"]
