"""Parts of `scripts/team-check`: replicas, balancer, Redis and issuer on loopback, and callers."""
