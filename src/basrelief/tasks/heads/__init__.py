"""Heads: what is learned from a few labelled shapes on top of frozen view features."""
