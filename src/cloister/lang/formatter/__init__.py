"""Formatting programs: one way to lay out a text, comments and all. Part of the guest set: standard library only."""
