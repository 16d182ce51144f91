"""WASI 0.2 as components import it, over the same files, streams, clocks and randomness as preview 1."""
