"""`tiny` from nothing, by the losses of CLIP2Point and OpenDlign: the embedded model that needs no download."""

from basrelief.train.tiny.run import Effort, Sources, TinyResult, train_tiny
from basrelief.train.tiny.settings import TinySettings

__all__ = ["Effort", "Sources", "TinyResult", "TinySettings", "train_tiny"]
