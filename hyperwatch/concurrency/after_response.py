"""Callbacks that run after a response was handed over for sending, in the thread that made it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

_this_thread = threading.local()


@contextmanager
def response_scope() -> Iterator[None]:
    """Runs the callbacks of `after_response` at its end."""
    with ExitStack() as callbacks:
        _this_thread.callbacks = callbacks
        try:
            yield
        finally:
            del _this_thread.callbacks


def after_response(callback: Callable[[], object]) -> None:
    """Schedules `callback` for the end of this thread's `response_scope`; without a scope, calls it at once."""
    callbacks: ExitStack | None = getattr(_this_thread, "callbacks", None)
    if callbacks is None:
        callback()
    else:
        callbacks.callback(callback)
