#!/usr/bin/env python
"""The command line of a checkout; `manage.py help` lists the commands."""

from hyperwatch.__main__ import main

if __name__ == "__main__":
    main()
