"""Rules and nouns of the wallet, without input or output."""
