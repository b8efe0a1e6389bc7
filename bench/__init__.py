"""What make bench runs, and its committed results."""
