"""Embeddings: which models there are, what their vectors look like, and the endpoints that return them."""
