"""Tags: whom a call is attributed to. The room is kept; nothing lives here yet."""
