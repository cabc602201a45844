"""Tests of whole programs: the tap with real targets, killed runs, the vendors' examples."""
