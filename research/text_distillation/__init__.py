"""Distill sentence embeddings into the small text encoder of the embedded network."""
