"""``make gpu``: everything that needs a GPU, checked and measured in one run."""
