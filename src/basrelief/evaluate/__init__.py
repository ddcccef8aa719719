"""Benchmark runs: the number, how it was made, and the paper's beside it."""

from basrelief.evaluate.card import Cost, EvalCard
from basrelief.evaluate.corruptions import Corruption, corruptions
from basrelief.evaluate.doctor import ModelFiles, Question, examine
from basrelief.evaluate.few_shot import Shots
from basrelief.evaluate.page import card_page, card_picture
from basrelief.evaluate.protocol import Protocol, describe, differences, paper_numbers
from basrelief.evaluate.result import Figure, Result, Table
from basrelief.evaluate.run import TASKS, Outcome, Request, card_folder, run_evaluation, write_outcome
from basrelief.evaluate.table import TABLES, TableRow, find_cards, published_table

__all__ = [
    "TABLES",
    "TASKS",
    "Corruption",
    "Cost",
    "EvalCard",
    "Figure",
    "ModelFiles",
    "Outcome",
    "Protocol",
    "Question",
    "Request",
    "Result",
    "Shots",
    "Table",
    "TableRow",
    "card_folder",
    "card_page",
    "card_picture",
    "corruptions",
    "describe",
    "differences",
    "examine",
    "find_cards",
    "paper_numbers",
    "published_table",
    "run_evaluation",
    "write_outcome",
]
