"""Ablations of OpenDlign: train variants of the method and compare them."""

from basrelief.train.ablation.study import AblationStudy
from basrelief.train.ablation.tables import ABLATIONS, ablation_table

__all__ = ["ABLATIONS", "AblationStudy", "ablation_table"]
