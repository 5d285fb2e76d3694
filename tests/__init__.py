"""The tests mirror the package; `e2e` starts real processes, `judge` runs the official SDK."""
