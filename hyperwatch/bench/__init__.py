"""Measures the real processes over real sockets, beside references: `manage.py bench`.

The server under test has a core of its own. The other cores run the load clients and the command, which publishes.
Received bytes are compared with the published ones: lost, repeated or reordered frames invalidate a figure.
"""


class CannotMeasureError(Exception):
    """A requirement of the benchmark is missing, or a process exited; the text is for the operator."""
