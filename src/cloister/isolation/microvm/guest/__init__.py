"""What runs inside a virtual machine: its first process, the agent, and what both sides say to each other."""
