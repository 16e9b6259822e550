"""Functions: execution environments, the Runtime API, versions, logs."""
