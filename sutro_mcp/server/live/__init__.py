"""Work that goes on while nobody calls: waits, watched jobs, progress."""
