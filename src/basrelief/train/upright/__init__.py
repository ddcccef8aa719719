"""Training of the upright network behind `--pose`."""

from basrelief.train.upright.settings import UprightSettings
from basrelief.train.upright.trainer import UPRIGHT_FILE, fit_upright, train_upright

__all__ = ["UPRIGHT_FILE", "UprightSettings", "fit_upright", "train_upright"]
