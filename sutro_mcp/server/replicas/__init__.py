"""What replicas of a server tell each other through Redis, which makes them cheaper and no more right."""
