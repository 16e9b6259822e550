"""Where stacks are: an account of AWS, or the local platform, and how each takes a change."""
