"""Which VMM runs the machines here, and how strong the walls around what runs in them are then.

Owns the choice. A name that asks for one VMM gets that one or is refused; `microvm` takes the first that works here, in
an order that depends on nothing but this machine.
"""

from __future__ import annotations
