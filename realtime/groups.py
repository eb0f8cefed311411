"""The channel layer as it is used here: one group for each stream."""

from channels.layers import BaseChannelLayer, get_channel_layer


def channel_layer() -> BaseChannelLayer:
    layer = get_channel_layer()
    if layer is None:
        raise RuntimeError("CHANNEL_LAYERS has no default")
    return layer


def group_of(stream: str) -> str:
    """The group of a stream: its name, never a coin's (`@107` is no group name)."""
    return f"stream.{stream}"
