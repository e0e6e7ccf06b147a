"""Storage by heat: what the disks of each tier do, kept by volume."""
