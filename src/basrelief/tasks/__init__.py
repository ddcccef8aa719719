"""What embeddings are asked: pool, compare, rank. Pure functions on tensors; a `Model` composes them."""

from basrelief.tasks.calibration import NONE_OF_THESE, Calibration, RejectPolicy, calibrate, decline, fit_temperature
from basrelief.tasks.few_shot import ViewProbe, sample_shots
from basrelief.tasks.heads import HEADS, FitOptions, Head, HeadKind, fit_head, head_scores, read_head
from basrelief.tasks.pooling import RULES, Pooling, pool_views, probabilities
from basrelief.tasks.query import find_nearest, mix_embeddings
from basrelief.tasks.scoring import LabelEmbeddings, LabelScores, score_labels
from basrelief.tasks.view_weights import ViewWeights, search_view_weights

__all__ = [
    "HEADS",
    "NONE_OF_THESE",
    "RULES",
    "Calibration",
    "FitOptions",
    "Head",
    "HeadKind",
    "LabelEmbeddings",
    "LabelScores",
    "Pooling",
    "RejectPolicy",
    "ViewProbe",
    "ViewWeights",
    "calibrate",
    "decline",
    "find_nearest",
    "fit_head",
    "fit_temperature",
    "head_scores",
    "mix_embeddings",
    "pool_views",
    "probabilities",
    "read_head",
    "sample_shots",
    "score_labels",
    "search_view_weights",
]
