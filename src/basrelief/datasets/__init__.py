"""Data sets: label sets, prompt templates, published prompt lists, benchmarks as they were unpacked. No torch, no network."""

from basrelief.datasets.benchmark import Benchmark, Item
from basrelief.datasets.card import dataset_card
from basrelief.datasets.labels import list_label_sets, parse_labels, read_labels_file
from basrelief.datasets.open import open_benchmark
from basrelief.datasets.prompt_list import PromptList
from basrelief.datasets.prompts import templates
from basrelief.datasets.scans.open import holds_scans, open_scans
from basrelief.datasets.scans.scan_set import ScanSet
from basrelief.datasets.split import maker_split

__all__ = [
    "Benchmark",
    "Item",
    "PromptList",
    "ScanSet",
    "dataset_card",
    "holds_scans",
    "list_label_sets",
    "maker_split",
    "open_benchmark",
    "open_scans",
    "parse_labels",
    "read_labels_file",
    "templates",
]
