"""The driver of Firecracker, which runs under its jailer and no other way."""
