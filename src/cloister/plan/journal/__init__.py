"""What runs leave behind so that they can go on: every call before and after it, and approvals."""
