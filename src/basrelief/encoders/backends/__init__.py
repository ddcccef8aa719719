"""Backends that run the towers: torch, or graphs exported to OpenVINO; chosen by measuring, with a bound on what may change."""
