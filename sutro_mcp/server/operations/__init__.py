"""What an operator watches an HTTP server by. A server over stdio imports none of it."""
