"""RTFS: text to forms to core to running program. Pure: no files, no clock, no network."""
