"""The ./cutout command: the local stack, the client, the operator's tools."""
