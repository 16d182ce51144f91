"""Types of the language: what they are, how they are written, and what has one."""
