"""The archive, replayed on a schedule: a container image that runs the program `ironbook journal verify`."""
