"""Readers, one module per file format; every file is treated as hostile."""
