"""Macros: code that makes code before a program is resolved. Part of the guest set: standard library only."""
