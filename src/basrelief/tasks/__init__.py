"""What embeddings are asked: pool, compare, rank. Pure functions on tensors; a `Model` composes them."""

from basrelief.tasks.classify import classify_embeddings
from basrelief.tasks.pooling import RULES, Pooling, pool_views, probabilities

__all__ = ["RULES", "Pooling", "classify_embeddings", "pool_views", "probabilities"]
