"""`infra rehearse`: a canary release on this machine, under load, with a report."""
