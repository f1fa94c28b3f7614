"""The ledger and the transactions of users: the only place that moves money."""
