"""Measurements of the tap."""
