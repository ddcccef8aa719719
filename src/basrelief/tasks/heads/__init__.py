"""Few-shot heads: classifiers fitted to a few labelled shapes on frozen view features."""
