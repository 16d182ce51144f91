"""Permission tokens: what one is, who makes one, what it is checked for, and which were used."""
