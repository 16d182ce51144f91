"""The binary format of WebAssembly: numbers, instructions, modules."""
