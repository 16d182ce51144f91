"""Control groups of sandboxes: the kernel's own bounds and counters of whole process trees, where there are any."""
