"""Research code: language suites, text distillation, training recipes. Not part of the installed package."""
