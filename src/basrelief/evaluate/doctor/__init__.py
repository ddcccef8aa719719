"""Checks before a run, each with a remedy: of a shape file, of a model and its weights, of a data set."""

from basrelief.evaluate.doctor.data import examine_benchmark
from basrelief.evaluate.doctor.examine import Question, examine
from basrelief.evaluate.doctor.files import examine_file
from basrelief.evaluate.doctor.models import ModelFiles, examine_model
from basrelief.evaluate.doctor.weights import examine_weights

__all__ = ["ModelFiles", "Question", "examine", "examine_benchmark", "examine_file", "examine_model", "examine_weights"]
