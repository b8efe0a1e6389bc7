"""What the services say to each other: records, messages, the ledger, ports and their adapters."""

__version__ = "0.1.0"
