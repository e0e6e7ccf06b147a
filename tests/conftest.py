"""What holds for every test: servers that tests start as processes have time on a busy machine."""

from __future__ import annotations

import os

from novacron_server.database.transactions import DATABASE_BUDGET_S

PATIENT_S = 12.0
"""A transaction's time where a test is not about it: a busy machine is no fault of what is tested."""

AS_SHIPPED = ["--database-budget-s", str(DATABASE_BUDGET_S)]
"""For a test that is about it."""

os.environ["NOVACRON_DATABASE_BUDGET_S"] = str(PATIENT_S)
