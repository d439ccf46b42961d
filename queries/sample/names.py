"""What things are called in the sample company's world. Every company name is made up."""

from typing import Final

VERTICALS: Final = (
    "Retail Banking",
    "Commercial Banking",
    "Wealth",
    "Insurance",
    "Payments",
    "Lending",
    "Capital Markets",
    "Public Sector",
)
RETAIL, COMMERCIAL, WEALTH, INSURANCE, PAYMENTS, LENDING, CAPITAL, PUBLIC = range(8)

KINDS: Final = ("installation", "repair", "onboarding", "renewal")
INSTALLATION, REPAIR, ONBOARDING, RENEWAL = range(4)
GOALS: Final = ("in service", "fault fixed", "live", "contract renewed")

PATHS: Final[tuple[tuple[tuple[str, int, str], ...], ...]] = (
    (
        ("order", 0, "in"),
        ("site survey", 4, "out"),
        ("delivery", 3, "out"),
        ("installation", 1, "out"),
        ("configuration", 5, "out"),
        ("installation query", 7, "in"),
        ("acceptance", 2, "in"),
        ("installation follow-up", 6, "out"),
    ),
    (
        ("fault report", 0, "in"),
        ("diagnosis", 3, "out"),
        ("dispatch", 4, "out"),
        ("repair", 1, "out"),
        ("retest", 5, "in"),
        ("repair query", 7, "in"),
        ("closing", 2, "out"),
        ("repair follow-up", 6, "out"),
    ),
    (
        ("welcome", 0, "out"),
        ("contract", 3, "in"),
        ("identity check", 4, "in"),
        ("account setup", 1, "out"),
        ("training", 5, "out"),
        ("onboarding query", 7, "in"),
        ("go-live", 2, "in"),
        ("first review", 6, "out"),
    ),
    (
        ("renewal notice", 0, "out"),
        ("needs review", 3, "in"),
        ("offer", 1, "out"),
        ("negotiation", 4, "in"),
        ("renewal query", 7, "in"),
        ("legal check", 5, "out"),
        ("signature", 2, "in"),
        ("renewal confirmation", 6, "out"),
    ),
)
"""Touchpoints of each journey type in the order they happen: name, rank (a journey of k contacts has ranks under k),
direction. Rank 1 is the touchpoint at which the journey's defects happen."""

DESK: Final = (("enquiry", "in"), ("complaint", "in"), ("billing question", "in"), ("service call", "out"))
"""Touchpoints of contacts outside any journey."""

TOUCHPOINTS: Final = tuple(name for path in PATHS for name, _, _ in path) + tuple(name for name, _ in DESK)
INBOUND: Final = tuple(way == "in" for path in PATHS for _, _, way in path) + tuple(way == "in" for _, way in DESK)
ENQUIRY: Final = TOUCHPOINTS.index("enquiry")
GRIEVANCE: Final = tuple(name in {"fault report", "complaint"} for name in TOUCHPOINTS)
"""Where something is reported as wrong: nobody does so in a good mood."""

CHANNELS: Final = ("phone", "mail", "portal", "chat", "visit")
WRITTEN: Final = (False, True, True, True, False)
DIRECTIONS: Final = ("out", "in")
ROLES: Final = ("decision-maker", "influencer", "user")
REGIONS: Final = ("North", "South", "West")
TIERS: Final = ("key", "large", "standard")
OUTCOMES: Final = ("reached", "failed", "abandoned", "open")
STATUSES: Final = ("invited", "bounced", "answered")
EXPECTATIONS: Final = ("below", "as", "above")
SCALE_NAMES: Final = ("nps", "csat", "ces")
SURVEYS: Final = ("transaction", "relationship")

PRODUCTS: Final = (
    ("Branch Desk", "Card Suite"),
    ("Cash Desk", "Trade Link"),
    ("Advice Desk", "Custody Link"),
    ("Claims Desk", "Policy Link"),
    ("Terminal", "Gateway"),
    ("Loan Desk", "Leasing Link"),
    ("Order Desk", "Clearing Link"),
    ("Grant Desk", "Treasury Link"),
)
PRODUCT_NAMES: Final = tuple(name for pair in PRODUCTS for name in pair)

CREWS: Final = ("crew A", "crew B", "crew C")
"""Who comes to install, in every vertical."""
TEAMS: Final = (
    *(f"{vertical} {task}" for vertical in VERTICALS for task in (*KINDS, "service desk")),
    *(f"{vertical} {crew}" for vertical in VERTICALS for crew in CREWS),
)
TEAM_SIZE: Final = 12
EMPLOYEES: Final = tuple(f"E{number:04d}" for number in range(len(TEAMS) * TEAM_SIZE))

FAULTS: Final = (
    ("wrong equipment", "missing part", "no connection", "late crew"),
    ("not fixed", "wrong part", "late technician", "new fault"),
    ("wrong data", "missing access", "lost papers", "late setup"),
    ("wrong price", "wrong term", "late offer", "lost request"),
)
FAULT_NAMES: Final = tuple(name for kind in FAULTS for name in kind)

INSTRUMENTS: Final = (
    "installation-csat",
    "repair-csat",
    "onboarding-csat",
    "renewal-csat",
    "touchpoint-csat",
    "service-ces",
    "relationship-nps",
)
TOUCHPOINT_CSAT, SERVICE_CES, RELATIONSHIP_NPS = 4, 5, 6

ACCOUNTS: Final = (70, 70, 50, 60, 90, 50, 40, 50)
"""Customer companies in each vertical."""

STEMS: Final = (
    "Ashgrove", "Aldermoor", "Bellmere", "Brackwater", "Calderon", "Corvane", "Dunhallow", "Drayfield", "Elmhurst Vale",
    "Eskmoor", "Fallowfield", "Farrowby", "Glenmarch", "Greywater", "Harrowgate", "Hollin", "Ivermoor", "Inglesea",
    "Jarrowby", "Juniper Row", "Kestrelby", "Kilnworth", "Larkhaven", "Linden Cross", "Marrowick", "Merriden",
    "Nethercote", "Norvale", "Oakmarsh", "Ostermark", "Pellworth", "Pinehollow", "Quarrington", "Quillmere",
    "Ravensholt", "Rookmoor", "Saltmarsh", "Silverbeck", "Tarnwick", "Thistledown", "Umberlea", "Upwell", "Valemont",
    "Verrick", "Wexmoor", "Windlesea", "Yarrowdale", "Yewbridge",
)  # fmt: skip
SUFFIXES: Final = (
    ("Bank", "Savings"),
    ("Merchant Bank", "Trade Bank"),
    ("Private Office", "Wealth Partners"),
    ("Mutual", "Assurance"),
    ("Pay", "Card Services"),
    ("Credit", "Leasing"),
    ("Securities", "Markets"),
    ("Council Treasury", "Pension Board"),
)
