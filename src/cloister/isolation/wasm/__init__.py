"""The wasm provider: workloads as WebAssembly in wasmtime, inside the host's own process."""
