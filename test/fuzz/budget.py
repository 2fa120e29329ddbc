"""How many examples a test runs, and whether they are the same in every run."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

__all__ = ["IS_SEARCH", "bounded"]

# Set by ``python -m test.fuzz``, which passes another --hypothesis-seed to every run.
IS_SEARCH = bool(os.environ.get("LSEG_FUZZ_SEARCH"))


def bounded(max_examples: int, *, shrink: bool = True, stateful_step_count: int = 20) -> settings:
    """Make the settings of a test: the same examples in every run of ``make test``.

    Args:
        max_examples: Number of examples of one run.
        shrink: Reduce an example that fails. Without it, a failing run of a node does not start many nodes.
        stateful_step_count: Number of steps of a state machine.
    """
    return settings(
        max_examples=max_examples,
        derandomize=not IS_SEARCH,
        database=None,  # the cases in test/fuzz/regressions take its place
        deadline=None,
        phases=(Phase.explicit, Phase.generate, *((Phase.shrink,) if shrink else ())),
        stateful_step_count=stateful_step_count,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
    )
