"""What `scripts/team-check` runs: replicas, balancer, Redis and issuer on loopback, and callers."""
