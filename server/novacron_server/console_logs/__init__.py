"""The logs of the VMs' serial ports: where their last boots begin, and pieces of them for readers that follow."""
