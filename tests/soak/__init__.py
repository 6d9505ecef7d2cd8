"""Crowds and long runs: what many readers see while many things break."""
