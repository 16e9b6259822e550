"""A day of traffic on Lambda, before it happens: cold starts, throttling, latency and the bill."""
