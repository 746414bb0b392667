"""A simulation of routing policies in virtual time: the same providers, faults and calls for each of them."""
