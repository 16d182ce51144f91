"""Execution hints of a plan: how a call is to be made, within bounds that no plan sets."""
