"""Sessions that outlive the command that opened them: a process that holds one, and how commands reach it."""
