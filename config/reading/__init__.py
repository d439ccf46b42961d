"""Reading the TOML files: entries with their lines, mistakes in words, checks between entries, drafts and rule tests.

It imports the models.
"""
