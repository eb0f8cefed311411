"""Hyperwatch: what happens on the Hyperliquid exchange, at once and without a hole."""

__version__ = "0.1.0"
