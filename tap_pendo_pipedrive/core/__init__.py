"""What both services share: HTTP, failures, rates, paging ahead, shaping, state. Knows no API."""
