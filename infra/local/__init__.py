"""The local run: the built stack on this machine, as AWS would run it."""
