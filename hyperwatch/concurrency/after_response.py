"""What is left to do for an answer when it is on its way already."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

_this_thread = threading.local()


@contextmanager
def response_scope() -> Iterator[None]:
    """What is put off within is done at its end."""
    with ExitStack() as left:
        _this_thread.left = left
        try:
            yield
        finally:
            del _this_thread.left


def after_response(do: Callable[[], object]) -> None:
    """Until this thread's answer is on its way; where the thread is not `answering`, it is done at once."""
    left: ExitStack | None = getattr(_this_thread, "left", None)
    if left is None:
        do()
    else:
        left.callback(do)
