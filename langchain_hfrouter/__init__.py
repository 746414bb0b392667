"""LangChain chat models through hfrouter."""
