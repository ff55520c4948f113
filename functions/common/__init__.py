"""What every function has: settings, AWS clients, errors, logs, the clock."""
