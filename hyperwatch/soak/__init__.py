"""Endurance test: runs the real processes under simulated traffic and clients, and injects faults (`manage.py soak`).

The oracle computes the expected rows from the simulator's messages, independent of the project's own decoding
(oracle.py). The checks compare these rows with every stored row and with the events that clients received. Resource
use of the processes is sampled meanwhile. The checks therefore detect losses, duplicates and leaks.
"""
