"""Hyperwatch: data of the Hyperliquid exchange in real time, without gaps."""

__version__ = "0.1.0"
