"""The wallet's sagas: processes over several services, readable as lists of steps."""
