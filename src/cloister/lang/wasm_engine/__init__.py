"""Core compiled to WebAssembly."""
