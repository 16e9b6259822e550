"""What invokes a function: the HTTP API."""
