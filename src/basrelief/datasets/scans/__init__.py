"""Data sets of annotated scans, as they were unpacked: a labelled box for each object."""
