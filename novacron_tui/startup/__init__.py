"""From the command line to the first paint: the only place that imports late so that the screen is there sooner."""
