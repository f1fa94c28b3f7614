"""Events handled once, and events that came too early."""
