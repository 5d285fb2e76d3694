"""Who calls over HTTP, what they may do, and with which Sutro key."""
