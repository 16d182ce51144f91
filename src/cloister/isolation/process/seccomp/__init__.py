"""The system calls a sandbox may make: tables with a reason for each, and the kernel filter made of them."""
