"""Where code runs apart from the host: the provider contract and the providers."""
