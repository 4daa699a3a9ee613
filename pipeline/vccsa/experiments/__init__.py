"""Experiments: runs that differ by nothing but their seed, lists of them, and what they show beside each other."""
