"""Revio's wire format, and nothing else."""
