"""A conversation with the language, as `cloister repl` holds it: what an input sees and what of it stays."""
