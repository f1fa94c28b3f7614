"""Asks the process of this container whether it is ready; HEALTH_URL says where."""

import os
import sys
import urllib.request

url = os.environ.get("HEALTH_URL")
if not url:
    sys.exit(0)
try:
    with urllib.request.urlopen(url, timeout=4):  # noqa: S310 - an address of our own
        sys.exit(0)
except OSError:
    sys.exit(1)
