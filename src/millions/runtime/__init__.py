"""This machine: observing it, acting on it, and the loop between. It holds no policy."""
