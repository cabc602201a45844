"""Tools for developing the tap."""
