"""The Sutro API's endpoints: each parses a request, asks the account and shapes the answer."""
