"""Checks before a run, each with a remedy: of a shape file, a model and its weights, or a data set."""
