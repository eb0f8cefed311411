"""Runs the real processes under a steady market with clients that come and go, and breaks something: `manage.py soak`.

The market is the known truth. What it comes to is read from its messages by other means than the project's own
(truth.py) and compared with every row that was stored and with what the clients were told; what the processes hold is
watched meanwhile. So what is found is a loss, a repeat, a leak, or nothing.
"""
