"""`novacron demo`: a simulated fleet, its rows, and what happens to it."""
