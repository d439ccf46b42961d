"""Tests of rules: counts that analysts write, and the incidents that should follow.

They may import incidents, evaluation and rules.
"""
