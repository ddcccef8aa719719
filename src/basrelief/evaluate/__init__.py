"""Evaluate models on benchmarks, write eval cards, and check files, models and data sets before a run."""

from basrelief.evaluate.card import EvalCard
from basrelief.evaluate.detection.protocol import DetectionProtocol
from basrelief.evaluate.detection.table import detection_table
from basrelief.evaluate.doctor.diagnose import diagnose
from basrelief.evaluate.doctor.maps.report import diagnose_maps
from basrelief.evaluate.few_shot import FewShotOptions
from basrelief.evaluate.plan import plan_table
from basrelief.evaluate.run import EvalOptions, evaluate, write_evaluation
from basrelief.evaluate.sources import DataSource, ModelSource
from basrelief.evaluate.table import TableRow, published_table

__all__ = [
    "DataSource",
    "DetectionProtocol",
    "EvalCard",
    "EvalOptions",
    "FewShotOptions",
    "ModelSource",
    "TableRow",
    "detection_table",
    "diagnose",
    "diagnose_maps",
    "evaluate",
    "plan_table",
    "published_table",
    "write_evaluation",
]
