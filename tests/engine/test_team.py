"""The number of workers follows what is measured, and never the results."""

from __future__ import annotations

from chainrule.engine.team import LONGEST_GAP, Team


def live(team: Team, seconds: dict[int, float], runs: int, steps: int = 64) -> dict[int, int]:
    """Run on a machine where a step takes `seconds[workers]`; answers how many steps each number ran."""
    used = dict.fromkeys(seconds, 0)
    for _ in range(runs):
        parts = team.plan(steps)
        assert sum(n for _, n in parts) == steps
        for workers, n in parts:
            team.measure(workers, n, n * seconds[workers])
            used[workers] += n
    return used


def test_a_single_worker_tries_nothing() -> None:
    team = Team(1, 1)
    assert live(team, {1: 1.0}, 100) == {1: 6400}


def test_all_workers_stay_where_they_are_quicker_and_trials_get_rare() -> None:
    team = Team(2, 2)
    used = live(team, {1: 1.9, 2: 1.0}, 1000)
    assert team.choice == 2
    assert team.gap == LONGEST_GAP
    assert used[1] < 0.003 * used[2]


def test_fewer_workers_on_a_busy_machine_and_back_when_it_is_quiet() -> None:
    team = Team(2, 2)
    live(team, {1: 1.9, 2: 1.0}, 200)
    used = live(team, {1: 1.9, 2: 8.0}, 200)  # a neighbour takes a processor: the very next runs notice
    assert team.choice == 1
    assert used[2] < 0.05 * used[1]
    live(team, {1: 1.9, 2: 1.0}, 200)
    assert team.choice == 2


def test_one_less_than_all_is_among_the_choices() -> None:
    team = Team(8, 8)
    live(team, {1: 8.0, 4: 2.0, 7: 1.2, 8: 2.5}, 100)
    assert team.choice == 7
