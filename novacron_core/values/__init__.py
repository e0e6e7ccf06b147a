"""Values both sides use: names, sizes, ages, tiers, roles. Imports nothing else of NovaCron."""
