"""Copying files and directories as streams that neither side trusts, on the host and inside."""
