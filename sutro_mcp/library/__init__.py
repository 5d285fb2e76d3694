"""`SutroClient`: Sutro from Python, with the results engine of the server."""
