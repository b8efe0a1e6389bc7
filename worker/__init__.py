"""The GPU service: turns one delivery of a job message into one outcome."""
