"""A realtime chat backend for LLM agents: one session, one log, one cursor."""

__version__ = "0.1.0"
