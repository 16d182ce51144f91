"""From core to a WebAssembly module."""
