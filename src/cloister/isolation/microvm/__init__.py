"""The microVM provider: every workload in a virtual machine of its own, under a VMM that is confined itself."""
