"""The special forms, one module per family."""
