"""Shows the product on the emulator's jobs: a conversation in the terminal, or the view in a browser."""
