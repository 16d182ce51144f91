"""The built-in capabilities, one module per family."""
