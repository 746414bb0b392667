"""Health per target: speed as seen, breaker, pauses that outlast a call. The room is kept; nothing lives here yet."""
