"""The list of jobs, searched, sorted and added up, as the API does not: for tools, programs and commands."""
