"""Shared value types: names, sizes, ages, tiers, roles. Imports no other NovaCron package."""
