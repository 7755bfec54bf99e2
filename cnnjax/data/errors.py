"""The error that every data source raises."""


class DataError(ValueError):
    """Data that cannot be used; the message names it and says what to do."""
