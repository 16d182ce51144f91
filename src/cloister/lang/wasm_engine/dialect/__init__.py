"""The small language the runtime support is written in, and its way to WebAssembly."""
