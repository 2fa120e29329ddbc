"""Training of LSeg networks."""
