"""QEMU as a VMM: its command line, its control protocol, and the machines it runs."""
