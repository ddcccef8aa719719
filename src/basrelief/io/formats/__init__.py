"""Readers, one file format each; every file is taken for hostile."""
