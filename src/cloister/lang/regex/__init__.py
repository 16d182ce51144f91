"""Regular expressions that take linear time: parser, program, lazily built automata, and captures."""
