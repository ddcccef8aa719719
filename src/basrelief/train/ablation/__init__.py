"""Ablations of OpenDlign: train variants of the method and compare them."""
