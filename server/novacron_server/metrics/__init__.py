"""Metrics: what VMs and hosts use, read on a schedule that follows its cost, kept in memory and in PostgreSQL."""
