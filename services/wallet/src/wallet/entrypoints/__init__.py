"""The wallet's doors: HTTP, events, jobs and the command line."""
