"""Keys and the tokens made with them."""
