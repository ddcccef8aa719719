"""`tiny` from nothing, by the losses of CLIP2Point and OpenDlign: the embedded model that needs no download."""

from basrelief.train.tiny.run import Resources, Sources, TinyResult, train_tiny
from basrelief.train.tiny.settings import TinySettings

__all__ = ["Resources", "Sources", "TinyResult", "TinySettings", "train_tiny"]
