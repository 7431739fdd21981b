"""Scenarios of the engine level: messages of one client, without events, namespaces or rooms."""
