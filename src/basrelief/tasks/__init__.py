"""Tasks on embeddings: score labels, calibrate, reject, few-shot heads, retrieve. Pure functions on tensors; a `Model` composes them."""

from basrelief.tasks.calibration import Calibration, RejectPolicy
from basrelief.tasks.early_exit import EarlyExit
from basrelief.tasks.few_shot import sample_shots
from basrelief.tasks.heads.base import FitOptions, Head
from basrelief.tasks.heads.kinds import HEADS, fit_head, head_scores
from basrelief.tasks.pooling import Pooling
from basrelief.tasks.query import find_nearest, mix_embeddings
from basrelief.tasks.scoring import LabelEmbeddings, LabelScores, score_labels
from basrelief.tasks.two_stage import SecondStage
from basrelief.tasks.view_weights import search_view_weights

__all__ = [
    "HEADS",
    "Calibration",
    "EarlyExit",
    "FitOptions",
    "Head",
    "LabelEmbeddings",
    "LabelScores",
    "Pooling",
    "RejectPolicy",
    "SecondStage",
    "find_nearest",
    "fit_head",
    "head_scores",
    "mix_embeddings",
    "sample_shots",
    "score_labels",
    "search_view_weights",
]
