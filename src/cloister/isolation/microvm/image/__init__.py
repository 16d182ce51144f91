"""Images of virtual machines: how they are built, signed, kept, and measured before one is booted."""
