"""`make bench`: what a request costs, measured side by side in one run."""
