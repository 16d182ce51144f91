"""The causal chain: what was attempted and what came of it, signed."""
