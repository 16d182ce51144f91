"""How the versions of growing vectors and maps share what they are made of.

After Baker, "Shallow binding makes functional arrays fast", SIGPLAN Notices 26(8), 1991: the newest version holds a
Python list or dictionary that it may change; making a version from it changes that list, and the older version keeps
only a link to the newer one and what undoes the change. An older version that is looked at takes the list over by
undoing the changes on the way, or, when it did that too often, gets a copy of its own. Both are charged step by step
before they are done: a program that jumps between far versions pays for it. Part of the guest set: standard library
only.
"""
