"""What a delivery is, what it may say, and which words stand for which code."""
