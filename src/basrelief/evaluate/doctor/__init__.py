"""Checks before a run, each with a remedy: of a shape file, a model and its weights, or a data set."""

from basrelief.evaluate.doctor.data import check_benchmark
from basrelief.evaluate.doctor.diagnose import diagnose
from basrelief.evaluate.doctor.files import check_file
from basrelief.evaluate.doctor.models import check_model
from basrelief.evaluate.doctor.weights import check_weights

__all__ = ["check_benchmark", "check_file", "check_model", "check_weights", "diagnose"]
