"""The CPU service: takes photos, answers questions about jobs, settles what needs no GPU."""
