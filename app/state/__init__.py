"""What outlives a process. The only place that knows Redis."""
