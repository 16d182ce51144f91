"""Approvals: what a person must decide before a call is made."""
