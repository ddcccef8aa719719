"""Training of `tiny`, the embedded model, from scratch."""

from basrelief.train.tiny.report import TinyResult
from basrelief.train.tiny.run import Sources, train_tiny
from basrelief.train.tiny.settings import TinySettings

__all__ = ["Sources", "TinyResult", "TinySettings", "train_tiny"]
