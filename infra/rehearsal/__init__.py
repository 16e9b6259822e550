"""`infra rehearse`: a whole canary release on this machine, under a load, with a report."""
