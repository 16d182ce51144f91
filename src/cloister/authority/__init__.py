"""Who may do what. Pure: no files, no clock."""
