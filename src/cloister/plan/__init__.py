"""From a plan to its run: admission and orchestration."""
