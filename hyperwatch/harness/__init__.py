"""Processes and services for tests, benchmarks and soaks; imported by no production module."""
