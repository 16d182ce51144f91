"""The self-test of the process provider: what must not work is attempted inside fresh sandboxes."""
