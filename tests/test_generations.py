"""Readers, writers and what a crash leaves."""
