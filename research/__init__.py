"""Research code, not installed: language suites, text distillation, training recipes."""
