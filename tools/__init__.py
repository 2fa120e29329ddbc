"""Developer tools that run from a checkout: environment setup and the generated reference."""
