"""`make bench`: what a prediction costs, ours and others' side by side in one run."""
