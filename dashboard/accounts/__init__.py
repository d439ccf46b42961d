"""The accounts: whom to call, the portfolio, and what one account lives through; see `dashboard.accounts.page`.

May import dashboard.incident, the dashboard's own modules, queries and config.
"""
