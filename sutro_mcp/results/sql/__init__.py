"""One SELECT over the results of a job."""
