"""Weights from the Hugging Face hub: what a repository holds, which file to take, its licence, and verified downloads that resume."""
