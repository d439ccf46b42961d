"""Delivery under faults: processes killed and frozen at numbered points, against a Slack that fails on command."""
