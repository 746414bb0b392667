"""Budgets: money reserved before a call and settled after. The room is kept; nothing lives here yet."""
