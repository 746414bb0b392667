"""Money: usage, price, cost, and the ledger."""
