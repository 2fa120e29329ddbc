"""Comparison with the authors' order of operations (lang-seg)."""
