"""Everything about Revio: purchases, payouts, webhooks, bank accounts."""
