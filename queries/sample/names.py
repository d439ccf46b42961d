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

GOOD: Final = (
    "Quick and friendly, thank you.",
    "Everything was ready when we needed it.",
    "Our contact knew our case without asking twice.",
    "Clear dates, and they were kept.",
    "Better than last year.",
    "No complaints at all.",
)
MIDDLING: Final = (
    "It was fine in the end, but it took a lot of calls.",
    "Good people, slow process.",
    "I had to explain the same thing to three colleagues.",
    "Acceptable. We expected a little more for the price.",
    "The portal and the phone line tell different stories.",
    "Please call before you come.",
)
BAD: Final = (
    "Nobody answered our mails.",
    "We had to come back about the same thing again.",
    "Far too many contacts for a simple request.",
    "We are looking at other suppliers.",
    "I asked for a call back at +44 20 7946 0123 and nobody rang.",
    "Please write to office@ashgrove.example, this is not solved.",
)
FAULT_COMMENTS: Final = (
    (
        "The equipment you installed does not connect to our network.",
        "The crew came without the right parts.",
        "Half of the sites were left without a connection after the installation.",
        "The new unit fails every morning since it was installed.",
        "Installed in the wrong branch, then nobody came back.",
        "It took two more visits before the installation worked.",
    ),
    (
        "The same fault was back two days after the repair.",
        "The technician had the wrong spare part.",
        "Repaired, but now something else is broken.",
        "We waited all day for the technician.",
        "The fault was reported twice before somebody looked at it.",
        "The repair did not hold.",
    ),
    (
        "Our data was set up wrongly and we found out ourselves.",
        "Two colleagues still have no access.",
        "Our papers were lost and we had to send them again.",
        "Each step was fine, but the whole thing took forever.",
        "We were live weeks after the date we had been given.",
        "Nobody seemed to own our onboarding.",
    ),
    (
        "The offer had last year's prices in it.",
        "The term in the contract was not what we agreed.",
        "The offer came after the old contract had ended.",
        "Our request for changes was lost.",
        "We had to chase the renewal ourselves.",
        "The figures in the offer were wrong twice.",
    ),
)
COMMENTS: Final = GOOD + MIDDLING + BAD + tuple(text for kind in FAULT_COMMENTS for text in kind)
COMMENTS_PER_MOOD: Final = 6
