"""The time a database transaction has in tests."""

from __future__ import annotations

from novacron_server.database.transactions import DATABASE_BUDGET_S

PATIENT_S = 12.0
"""A transaction's time where a test is not about it: a busy machine is no fault of what is tested."""


AS_SHIPPED = ["--database-budget-s", str(DATABASE_BUDGET_S)]
"""For a test that is about it."""
