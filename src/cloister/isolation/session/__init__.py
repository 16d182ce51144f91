"""What the sessions of all providers have in common: how the host gives them orders and attends to each of them."""
