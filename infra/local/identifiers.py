"""The account and the HTTP API that ARNs, URLs and events of the local platform name."""

ACCOUNT_ID = "123456789012"
API_ID = "local"  # of the first API; those of others begin with it
