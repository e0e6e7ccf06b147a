"""The console's part of storage by heat: advice, and how it is accepted, dismissed and prevented."""
