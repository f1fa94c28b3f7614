"""The sandbox over HTTP: the gateway's API, the checkout page, and control."""
