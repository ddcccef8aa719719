"""Readers of data set layouts, one for each."""
