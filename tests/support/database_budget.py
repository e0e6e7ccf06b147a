"""The time budget of a database transaction in tests."""

from __future__ import annotations

from novacron_server.database.transactions import DATABASE_BUDGET_S

LONG_BUDGET_S = 12.0
"""For tests that are not about the budget, so that a busy machine does not fail them."""


DEFAULT_BUDGET = ["--database-budget-s", str(DATABASE_BUDGET_S)]
"""Flags for tests that are about the budget."""
