"""The version, in one place: the distribution and the `User-Agent` both tell it."""

__version__ = "0.1.0"
