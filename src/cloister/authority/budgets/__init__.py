"""Budgets of runs: what is counted, how much there is, what was used, and what follows when it is gone."""
