"""Running state machines of hypothesis over brokers in memory."""

from __future__ import annotations

import logging

from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test


def run(machine: type[RuleBasedStateMachine], examples: int, steps: int) -> None:
    """Try as many examples, of as many steps each."""
    logging.disable(logging.CRITICAL)  # of the thousands of failures that they cause on purpose
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        logging.disable(logging.NOTSET)
