"""The demo account's jobs and the fake rows they hold."""
