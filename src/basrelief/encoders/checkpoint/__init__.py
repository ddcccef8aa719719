"""Files that `torch.save` wrote, of any version of torch, read without executing anything in them."""

from basrelief.encoders.checkpoint.read import Checkpoint, open_checkpoint
from basrelief.encoders.checkpoint.records import StoredTensor

__all__ = ["Checkpoint", "StoredTensor", "open_checkpoint"]
