"""Measures the real processes over real sockets, beside references: `manage.py bench`.

Three kinds of processes: the server under test on a core of its own; on the others the swarm, which is all its
clients, and the command, which publishes. What the clients receive is compared byte for byte, so that no figure
counts that was bought by losing, repeating or reordering something.
"""


class CannotMeasureError(Exception):
    """A benchmark lacks something it needs, or a process of it died; the text is for the operator."""
