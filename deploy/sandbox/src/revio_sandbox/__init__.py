"""A Revio simulator: purchases, checkout page, payouts, signed webhooks, and knobs for every fault."""
