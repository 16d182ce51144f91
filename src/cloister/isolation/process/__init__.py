"""The process provider: kernel namespaces and limits around ordinary processes."""
