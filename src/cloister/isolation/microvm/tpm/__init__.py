"""A software TPM beside a machine: its commands, its process, what is measured into it, and its quotes."""
