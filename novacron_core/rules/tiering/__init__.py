"""Which disk belongs in which tier: how hot a disk is, and what a move would gain."""
