"""Components: what they say of themselves, their types and values, and how one is run."""
