"""Evaluate models on benchmarks, write eval cards, and check files, models and data sets before a run."""

from basrelief.evaluate.card import EvalCard
from basrelief.evaluate.doctor import diagnose
from basrelief.evaluate.few_shot import FewShotOptions
from basrelief.evaluate.result import Metric, Table
from basrelief.evaluate.run import TASKS, EvalOptions, Evaluation, card_folder, evaluate, run_evaluation, write_evaluation
from basrelief.evaluate.sources import DataSource, ModelSource
from basrelief.evaluate.table import TableRow, find_cards, published_table

__all__ = [
    "TASKS",
    "DataSource",
    "EvalCard",
    "EvalOptions",
    "Evaluation",
    "FewShotOptions",
    "Metric",
    "ModelSource",
    "Table",
    "TableRow",
    "card_folder",
    "diagnose",
    "evaluate",
    "find_cards",
    "published_table",
    "run_evaluation",
    "write_evaluation",
]
