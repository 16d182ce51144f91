"""The standard library of RTFS: one module per topic, joined in `table`."""
