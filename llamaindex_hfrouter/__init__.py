"""LlamaIndex through hfrouter: the room is here, its furniture comes next."""
