"""What the programs that run this server are given, and what they leave open."""
