"""What people who write RTFS see while they write: documentation, highlighting, diagnostics, completion, the server."""
