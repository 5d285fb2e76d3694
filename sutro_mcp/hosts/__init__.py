"""Programs that run this server: the configuration they get, and the choices they leave open."""
