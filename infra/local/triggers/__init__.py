"""What invokes functions: HTTP APIs, queues, and the hooks of deployments."""
