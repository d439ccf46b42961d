import config  # noqa: F401 - it says how many threads numpy may use, before numpy is imported
