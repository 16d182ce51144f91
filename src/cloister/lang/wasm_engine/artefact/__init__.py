"""Compiled plans as files: core, what is declared of it, and the module, in one that can be checked."""
