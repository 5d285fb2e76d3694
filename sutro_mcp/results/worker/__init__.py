"""Processes that may die: started, spoken to, limited and ended."""
