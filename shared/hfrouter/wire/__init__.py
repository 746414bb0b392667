"""The only rooms that speak HTTP."""
