"""The services of a test run as pytest fixtures, its environment, and waiting."""
