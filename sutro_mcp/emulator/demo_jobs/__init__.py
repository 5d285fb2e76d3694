"""The demo account's jobs and the made-up rows they hold."""
