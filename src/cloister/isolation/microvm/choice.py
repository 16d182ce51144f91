"""Which VMM runs the machines here, and how strong their walls are then.

Owns the choice. A name that asks for one VMM gets that or is refused; `microvm` takes the first that works, in an order
that does not depend on anything but what this machine has.
"""
