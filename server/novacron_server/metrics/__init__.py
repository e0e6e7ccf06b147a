"""Metrics of VMs and hosts, sampled at an interval that depends on the cost, kept in memory and in PostgreSQL."""
