"""Tests of tap-pendo-pipedrive."""
