"""Whole runs of the tap over real HTTP, judged by the Singer messages that they write."""
