"""The number of workers follows what is measured, and never the results."""

from __future__ import annotations

from chainrule.engine.team import LONGEST_GAP, PART, Team


def live(team: Team, seconds: dict[int, float], runs: int, steps: int = 40_000) -> dict[int, int]:
    """Run on a machine where a step takes `seconds[workers]`; returns how many steps each number ran."""
    used = dict.fromkeys(seconds, 0)
    for _ in range(runs):
        left = steps
        while left:
            workers, part = team.part(left)
            assert 1 <= part <= left
            team.measure(workers, part, part * seconds[workers])
            used[workers] += part
            left -= part
    return used


def test_a_single_worker_tries_nothing_and_is_not_cut() -> None:
    team = Team(1)
    assert team.part(10_000) == (1, 10_000)
    assert live(team, {1: 1e-5}, 3) == {1: 120_000}


def test_a_fixed_team_keeps_to_its_number() -> None:
    assert live(Team(8, fixed=True), {8: 1e-5, 1: 1e-9}, 3) == {8: 120_000, 1: 0}


def test_parts_are_short() -> None:
    team = Team(2)
    team.measure(2, 1, 1e-5)
    assert team.part(10_000) == (2, round(PART / 1e-5))


def test_all_workers_stay_where_they_are_quicker_and_trials_get_rare() -> None:
    team = Team(2)
    used = live(team, {1: 1.9e-5, 2: 1e-5}, 1000)
    assert team.choice == 2
    assert team.gap == LONGEST_GAP
    assert used[1] < 0.005 * used[2]


def test_fewer_workers_on_a_busy_machine_and_back_when_it_is_quiet() -> None:
    team = Team(2)
    live(team, {1: 1.9e-5, 2: 1e-5}, 50)
    used = live(team, {1: 1.9e-5, 2: 20e-5}, 10)  # a neighbour takes a processor: the very next parts notice
    assert team.choice == 1
    assert used[2] < 0.05 * used[1]
    live(team, {1: 1.9e-5, 2: 1e-5}, 50)
    assert team.choice == 2


def test_a_single_slow_part_changes_nothing() -> None:
    team = Team(2)
    live(team, {1: 1.9e-5, 2: 1e-5}, 50)
    team.measure(2, 100, 100 * 50e-5)
    used = live(team, {1: 1.9e-5, 2: 1e-5}, 5)
    assert team.choice == 2
    assert used[1] < 0.05 * used[2]


def test_one_less_than_all_is_among_the_choices() -> None:
    team = Team(8)
    live(team, {1: 8e-4, 4: 2e-4, 7: 1.2e-4, 8: 2.5e-4}, 20)
    assert team.choice == 7


def test_runs_of_a_single_step_fill_a_part_together() -> None:
    """Else every tenth call of `step` would be a trial, of one step that finds its data in no cache."""
    team = Team(2)
    used = live(team, {1: 1.9e-4, 2: 1e-4}, 20_000, steps=1)
    assert team.choice == 2
    assert team.gap == LONGEST_GAP
    assert used[1] < 0.005 * used[2]
    used = live(team, {1: 1.9e-4, 2: 20e-4}, 2000, steps=1)  # noticed in time, not after a number of steps
    assert team.choice == 1
    assert used[2] < 0.05 * used[1]
