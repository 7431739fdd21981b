"""Starts the servers one after the other, loads each, and compares what they cost."""
