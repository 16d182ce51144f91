"""What compiled programs need at run time, written in the dialect; see `dialect.words`."""
