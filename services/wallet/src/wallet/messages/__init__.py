"""The wallet's messages: what it listens to and what it announces."""
