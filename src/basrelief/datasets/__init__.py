"""Names and words: label sets, prompt templates, published prompt lists. Text and numbers only; no torch, no network."""

from basrelief.datasets.labels import check_labels, label_set, list_label_sets, read_labels
from basrelief.datasets.prompt_list import PromptList, read_prompt_list
from basrelief.datasets.prompts import fill, list_templates, templates

__all__ = [
    "PromptList",
    "check_labels",
    "fill",
    "label_set",
    "list_label_sets",
    "list_templates",
    "read_labels",
    "read_prompt_list",
    "templates",
]
