"""Core compiled to Python code objects."""
