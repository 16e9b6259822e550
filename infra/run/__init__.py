"""`infra run`: build the stack, serve it on this machine, and say how to use it."""
