"""Singer tap for Pendo and Pipedrive."""
