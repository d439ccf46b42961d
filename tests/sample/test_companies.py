"""What is planted in every company, found again in the files of several: what the seed draws differs between them."""

from collections.abc import Iterator
from datetime import date
from math import exp, log, sqrt
from typing import Any, Final

import pytest

from queries.sample import generate
from tests.sample.test_sample import PLANTED, Sample, opened, within

END: Final = date(2026, 11, 21)
SEEDS: Final = (1, 2, 3)
NULL: Final = PLANTED["null"]["vertical"]


@pytest.fixture(scope="module")
def companies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, Sample]]:
    made = {}
    for seed in SEEDS:
        folder = tmp_path_factory.mktemp("company")
        generate(folder, end=END, seed=seed)
        made[seed] = opened(folder, END)
    yield made
    for company in made.values():
        company.conn.close()


@pytest.fixture(params=SEEDS)
def company(request: pytest.FixtureRequest, companies: dict[int, Sample]) -> Sample:
    return companies[request.param]


def year(company: Sample) -> str:
    """The answers to the relationship survey in the last twelve full months, as points from -1 to 1."""
    return f"""select account_id, (score >= 9)::int - (score <= 6)::int point from response
        where scale = 'nps' and score is not null and responded_at >= '{company.month(-12)}'"""


def test_most_accounts_could_buy_more(company: Sample) -> None:
    plant = PLANTED["growth"]
    quadrants = company.rows(f"""
        with x as (select account_id, 100 * avg(point) nps from ({year(company)}) group by 1),
        y as (select account_id, avg(share_of_wallet) part from revenue
            where month >= '{company.month(-12)}' and share_of_wallet is not null group by 1)
        select nps >= {plant["nps"]}, part >= {plant["share_of_wallet"]}, count(*)
        from x join y using (account_id) group by all""")
    count = {(good, large): n for good, large, n in quadrants}
    growth = count.pop((True, False))
    assert len(count) == 3
    assert growth >= plant["times"] * max(count.values())


def test_some_always_bought_little(company: Sample) -> None:
    plant, quiet = PLANTED["growth"], PLANTED["quiet_account"]["account_id"]
    now = "(select * from account_history where valid_to is null)"
    lower = f"""select count(*), count(*) filter (where vertical = '{NULL}') from {now} where tier = 'large'
        and annual_revenue < (select max(annual_revenue) from {now} where tier = 'standard' and vertical <> '{NULL}')"""
    ((some, at_null),) = company.rows(lower)
    assert within(some, plant["lower"])
    assert at_null == 0
    half = f"avg(amount) filter (where month {{}} '{company.month(-12)}')"
    changes = company.rows(
        f"select account_id, {half.format('>=')} / {half.format('<')} - 1 from revenue group by 1 order by 2"
    )
    assert changes[0][0] == quiet
    assert all(abs(change) < plant["steady"] for _, change in changes[1:])


def test_two_accounts_never_answer_and_every_other_does(company: Sample) -> None:
    plant = PLANTED["unheard"]
    silent = company.rows("""
        select account_id, tier, count(*), count(*) filter (where status = 'answered')
        from response join account_history using (account_id) where valid_to is null
        group by all having count(score) = 0""")
    assert len(silent) == plant["accounts"]
    for _, tier, invited, answered in silent:
        assert (tier, answered) == (plant["tier"], 0)
        assert invited >= plant["invited"]
    heard = company.value(f"select count(distinct account_id) from ({year(company)})")
    assert heard == company.value("select count(*) from account") - plant["accounts"]


def test_the_account_near_at_risk_lies_on_the_border(company: Sample) -> None:
    """Adjusted Wald: three answers more, of which 0.75 each are promoters and detractors."""
    mine = f"({year(company)}) where account_id = '{PLANTED['near_at_risk']['account_id']}'"
    ((n, good, bad),) = company.rows(
        f"select count(*) + 3, count(*) filter (point = 1) + 0.75, count(*) filter (point = -1) + 0.75 from {mine}"
    )
    good, bad = float(good) / n, float(bad) / n
    assert abs(good - bad) < 0.5 * sqrt((good + bad - (good - bad) ** 2) / n)


def fall(company: Sample, vertical: str) -> tuple[float, float]:
    """The logarithm of the ratio of the two years' shares of defects, and its variance (Katz)."""
    rows = company.rows(f"""
        select decided >= '{company.month(-12)}' late, count(*), sum(bad::int) from done
        where vertical = '{vertical}' and decided >= '{company.month(-24)}' and decided < '{company.month(0)}'
        group by 1 order by 1""")
    (_, n, bad), (_, m, worse) = rows
    return log((worse / m) / (bad / n)), 1 / bad - 1 / n + 1 / worse - 1 / m


def test_defects_fall_in_two_verticals(company: Sample) -> None:
    plant = PLANTED["defects_fall"]
    falls = [fall(company, vertical) for vertical in plant["verticals"]]
    assert all(within(1 - exp(ratio), plant["cut"]) for ratio, _ in falls)
    weight = sum(1 / variance for _, variance in falls)
    pooled = sum(ratio / variance for ratio, variance in falls) / weight
    assert pooled < -2 / sqrt(weight)
    for vertical in plant["unchanged"]:
        ratio, variance = fall(company, vertical)
        assert abs(ratio) < 2 * sqrt(variance)


def losses(company: Sample, where: str) -> dict[tuple[str, int], tuple[float, float]]:
    """By journey type and number of contacts: how much rarer the goal is from there on, and that in standard errors.

    A journey of which some contacts are not in yet has fewer than it will have.
    """
    found = {}
    for kind, least, n, hit, m, hits in company.rows(f"""
        with of as (select journey_type, contacts, (outcome = 'reached')::int hit from done
            where ended_at < timestamp '{company.end}' - interval 14 day and {where})
        select journey_type, least, count(*) filter (contacts < least), sum(hit) filter (contacts < least),
            count(*) filter (contacts >= least), sum(hit) filter (contacts >= least)
        from of, range(4, 9) every(least) group by all"""):
        share = (hit + hits) / (n + m)
        lost = hit / n - hits / m
        found[kind, least] = (lost, lost / sqrt(share * (1 - share) * (1 / n + 1 / m)))
    return found


def overdone(company: Sample) -> tuple[str, int]:
    plant = PLANTED["dose"]
    seen = losses(company, f"vertical not in ({', '.join(repr(v) for v in (*plant['none'], plant['exempt']))})")
    return max(seen, key=lambda one: seen[one][1])


def test_too_many_contacts_harm_in_one_journey_type(company: Sample) -> None:
    plant = PLANTED["dose"]
    kind, least = overdone(company)
    with_it = losses(company, f"vertical not in ({', '.join(repr(v) for v in (*plant['none'], plant['exempt']))})")
    lost, errors = with_it.pop((kind, least))
    assert within(lost, plant["loss"])
    assert errors > 8
    assert all(errors < 3.5 for (other, _), (_, errors) in with_it.items() if other != kind)
    for nowhere in (f"vertical = '{NULL}'", f"vertical = '{plant['exempt']}' and journey_type = 'onboarding'"):
        assert all(abs(errors) < 3.5 for _, errors in losses(company, nowhere).values())


def test_where_contacts_are_too_many_is_drawn_by_the_seed(companies: dict[int, Sample]) -> None:
    plant = PLANTED["dose"]
    found = {seed: overdone(company) for seed, company in companies.items()}
    assert found[1] == (plant["journey_type"], plant["contacts"])
    assert len(set(found.values())) == len(SEEDS)


def association(company: Sample, touchpoints: str, vertical: str) -> tuple[float, int]:
    """Correlation of touchpoint and relationship scores of an account within 45 days, both less the account's mean."""
    ((together, pairs),) = company.rows(f"""
        with point as (
            select account_id, invited_at asked, score - avg(score) over (partition by account_id, touchpoint) x
            from response where scale = 'csat' and score is not null and touchpoint {touchpoints}
            and vertical {vertical}),
        whole as (select account_id, invited_at asked, score - avg(score) over (partition by account_id) y
            from response where scale = 'nps' and score is not null)
        select corr(x, y), count(*) from point p join whole w on p.account_id = w.account_id
        and abs(date_diff('day', p.asked, w.asked)) <= 45""")
    return together, pairs


def test_touchpoints_weigh_differently_for_the_relationship(companies: dict[int, Sample]) -> None:
    plant = PLANTED["stages"]

    def mean(touchpoints: str, vertical: str) -> float:
        found = [association(company, touchpoints, vertical) for company in companies.values()]
        return sum(together for together, _ in found) / len(found)

    for touchpoint in ("repair", "fault report"):
        assert within(mean(f"= '{touchpoint}'", f"<> '{NULL}'"), plant[touchpoint])
    others = "not in ('repair', 'fault report')"
    assert within(mean(others, f"<> '{NULL}'"), plant["elsewhere"])
    assert within(mean("is not null", f"= '{NULL}'"), plant["elsewhere"])


def desks(company: Sample) -> dict[str, tuple[Any, ...]]:
    """By vertical: of the invitations after a noted mood how many followed a good one, how many followed none, ces."""
    rows = company.rows("""
        select r.vertical, avg((emotion > 0)::int), count(*) filter (emotion is null), avg((score >= 5)::int),
            count(*) / (select count(*) from contact s where s.id like 'S%' and s.vertical = r.vertical)
        from response r join contact c on c.id = 'S' || right(r.id, 11) where r.id like 'U%' group by 1""")
    return {vertical: tuple(rest) for vertical, *rest in rows}


def test_one_service_desk_chooses_whom_it_asks(company: Sample) -> None:
    plant, found = PLANTED["chosen"], desks(company)
    ((_, (content, unnoted, ces, asked)),) = ((v, of) for v, of in found.items() if of[0] > 0.9)
    assert (content, unnoted) == (1, 0)
    assert within(ces, plant["ces"])
    others = [of for of in found.values() if of[1]]
    assert len(others) == 7
    assert all(within(of[0], plant["content_elsewhere"]) for of in others)
    assert within(sum(of[2] for of in others) / 7, plant["ces_elsewhere"])
    assert 0.7 < asked / (sum(of[3] for of in others) / 7) < 1.3


def test_which_desk_chooses_is_drawn_by_the_seed(companies: dict[int, Sample]) -> None:
    chosen = {seed: next(v for v, of in desks(company).items() if of[0] == 1) for seed, company in companies.items()}
    assert chosen[1] == PLANTED["chosen"]["vertical"]
    assert NULL not in chosen.values()
    assert len(set(chosen.values())) > 1


def test_comments_are_many_in_five_languages(company: Sample) -> None:
    plant = PLANTED["comments"]
    assert company.value("select count(distinct comment) from response") >= plant["different"]
    language = " ".join(f"when comment ilike '%{word}%' then '{word}'" for word in plant["invoice_words"])
    found = company.rows(f"""
        select distinct account_id, case {language} end spoken from response where spoken is not null""")
    assert {spoken for _, spoken in found} == set(plant["invoice_words"])
    assert len(found) == len({account for account, _ in found})


def mentioning(company: Sample, words: list[str], where: str) -> list[tuple[Any, ...]]:
    """By vertical: the share of comments with one of the words, and how many comments there are."""
    return company.rows(f"""
        select vertical, avg(regexp_matches(comment, '(?i){"|".join(words)}')::int), count(*) from response
        where comment is not null and {where} group by 1 order by 2 desc""")


def rising(company: Sample) -> str:
    """The vertical where most comments mention the theme."""
    found: str = mentioning(company, PLANTED["comments"]["sign_in_words"], "true")[0][0]
    return found


def test_one_theme_is_everywhere_and_one_rises_in_one_vertical(company: Sample) -> None:
    plant = PLANTED["comments"]
    since, last = company.month(plant["sign_in_since"]), company.month(-1)
    for year in (f"responded_at < '{company.month(-12)}'", f"responded_at >= '{company.month(-12)}'"):
        everywhere = mentioning(company, plant["invoice_words"], year)
        assert len(everywhere) == 8
        assert all(within(share, plant["invoices"]) for _, share, _ in everywhere)
    words, where = plant["sign_in_words"], rising(company)
    assert all(share == 0 for _, share, _ in mentioning(company, words, f"responded_at < '{since}'"))
    assert all(share == 0 for _, share, _ in mentioning(company, words, "true")[1:])
    here = f"vertical = '{where}' and responded_at"
    until = company.month(plant["sign_in_since"] + 2)
    ((_, first, _),) = mentioning(company, words, f"{here} >= '{since}' and {here} < '{until}'")
    ((_, newest, _),) = mentioning(company, words, f"{here} >= '{last}'")
    assert within(first, plant["sign_in_first"])
    assert within(newest, plant["sign_in_last"])
    assert newest > first


def test_where_the_theme_rises_is_drawn_by_the_seed(companies: dict[int, Sample]) -> None:
    found = {seed: rising(company) for seed, company in companies.items()}
    assert found[1] == PLANTED["comments"]["sign_in_vertical"]
    assert NULL not in found.values()
    assert len(set(found.values())) > 1


def test_one_account_has_a_season_and_loses_nothing(company: Sample) -> None:
    plant = PLANTED["season"]
    low = [company.month(offset) for offset in range(-40, 0) if offset % 12 in plant["low"]]
    assert len(low) == 2 * plant["years"]
    days = ", ".join(f"date '{day}'" for day in low)
    is_low = f"month in ({days})"
    parts = company.rows(f"""
        select account_id, avg(amount) filter (where {is_low}) / avg(amount) filter (where not {is_low})
        from revenue where account_id <> '{PLANTED["quiet_account"]["account_id"]}' group by 1""")
    by = dict(parts)
    assert within(by.pop(plant["account_id"]), plant["part"])
    assert all(within(part, plant["elsewhere"]) for part in by.values())
    ((earliest, known),) = company.rows("select min(month), min(recorded_at)::date from revenue")
    assert (earliest, known) == (company.month(-40), company.month(-24))
