"""Whatever is lost, late, frozen or restarted: one leader a term, and what a majority has stays.

The world here is a model of the servers: what a member writes, what its followers take over, and
when they stop. The rules are the real ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from millions.reconcile import election
from millions.reconcile.election import Ballot, Position, Question

MEMBERS = 3


@dataclass
class Member:
    """One server: its votes, which outlive a crash, its entries, and whom it takes writes from."""

    name: str
    ballot: Ballot = field(default_factory=Ballot)
    entries: list[tuple[int, int]] = field(default_factory=list)
    follows: str = ""
    leads: int = 0

    @property
    def position(self) -> Position:
        term, sequence = self.entries[-1] if self.entries else (0, 0)
        return Position(term=term, sequence=sequence)

    def fence(self) -> None:
        self.follows, self.leads = "", 0


@dataclass
class World:
    members: dict[str, Member] = field(
        default_factory=lambda: {f"m{n}": Member(f"m{n}") for n in range(MEMBERS)}
    )
    acknowledged: set[tuple[int, int]] = field(default_factory=set)
    leaders: dict[int, str] = field(default_factory=dict)

    def campaign(self, name: str, reached: set[str]) -> None:
        """One member stands for election, and reaches some of the others."""
        candidate = self.members[name]
        candidate.fence()
        candidate.ballot = election.stand(candidate.ballot, name)
        question = Question(term=candidate.ballot.term, candidate=name, position=candidate.position)
        votes = 1
        for other in reached - {name}:
            voter = self.members[other]
            if question.term >= voter.ballot.term:
                voter.fence()
            voter.ballot, granted = election.vote(
                voter.ballot, question, voter.position, bound=False
            )
            votes += granted
        if votes >= election.majority(MEMBERS):
            assert self.leaders.setdefault(question.term, name) == name
            candidate.leads = question.term
            candidate.entries.append((question.term, candidate.position.sequence))

    def beat(self, name: str, other: str) -> None:
        """A member that believes to lead tells another one."""
        leader, follower = self.members[name], self.members[other]
        if not leader.leads or name == other:
            return
        ballot = election.heard(follower.ballot, leader.leads)
        if ballot is None:
            leader.fence()
            return
        follower.ballot = ballot
        follower.fence()
        follower.follows = name
        follower.entries = list(leader.entries)

    def write(self, name: str, reached: set[str]) -> None:
        """A client writes, and is acknowledged when a majority has it."""
        leader = self.members[name]
        if not leader.leads:
            return
        leader.entries.append((leader.leads, leader.position.sequence + 1))
        on_disks = 1
        for other in reached - {name}:
            follower = self.members[other]
            if follower.follows == name:
                follower.entries = list(leader.entries)
                on_disks += 1
        if on_disks >= election.majority(MEMBERS):
            self.acknowledged.update(leader.entries)

    def newest(self) -> Member | None:
        """Who leads the latest term, and has a majority that knows of none later."""
        found = max(self.members.values(), key=lambda each: each.leads)
        return found if found.leads else None


NAMES = st.sampled_from([f"m{n}" for n in range(MEMBERS)])
SOME = st.sets(NAMES)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("campaign"), NAMES, SOME),
        st.tuples(st.just("beat"), NAMES, NAMES),
        st.tuples(st.just("write"), NAMES, SOME),
        st.tuples(st.just("crash"), NAMES),
    ),
    max_size=60,
)


@settings(max_examples=400, deadline=None)
@given(STEPS)
def test_every_new_leader_has_all_that_was_acknowledged(steps: list[tuple[object, ...]]) -> None:
    world = World()
    for step in steps:
        known = set(world.leaders)
        match step:
            case ("campaign", str(name), set() as reached):
                world.campaign(name, {str(each) for each in reached})
            case ("beat", str(name), str(other)):
                world.beat(name, other)
            case ("write", str(name), set() as reached):
                world.write(name, {str(each) for each in reached})
            case (_, str(name), *_rest):
                world.members[name].fence()  # its votes and its entries are on the disk
        for term in set(world.leaders) - known:
            entries = set(world.members[world.leaders[term]].entries)
            assert {each for each in world.acknowledged if each[0] < term} <= entries


def test_a_member_votes_once_in_a_term_and_says_so_again() -> None:
    question = Question(term=3, candidate="a", position=Position(term=1, sequence=5))
    ballot, granted = election.vote(Ballot(term=2), question, Position(), bound=False)
    assert (ballot, granted) == (Ballot(term=3, voted_for="a"), True)
    assert election.vote(ballot, question, Position(), bound=False) == (ballot, True)
    other = Question(term=3, candidate="b", position=question.position)
    assert election.vote(ballot, other, Position(), bound=False) == (ballot, False)


def test_who_has_less_gets_no_vote_but_its_term_is_known_from_then_on() -> None:
    question = Question(term=9, candidate="a", position=Position(term=2, sequence=99))
    ahead = Position(term=3, sequence=1)
    assert election.vote(Ballot(term=3), question, ahead, bound=False) == (Ballot(term=9), False)


def test_a_question_before_the_vote_changes_nothing() -> None:
    question = Question(term=9, candidate="a", position=Position(), before=True)
    ballot = Ballot(term=3, voted_for="b")
    assert election.vote(ballot, question, Position(), bound=False) == (ballot, True)


def test_who_has_promised_to_a_leader_helps_nobody_else() -> None:
    question = Question(term=9, candidate="a", position=Position(term=8, sequence=9))
    ballot = Ballot(term=3, voted_for="b")
    assert election.vote(ballot, question, Position(), bound=True) == (ballot, False)


def test_a_former_leader_is_not_heard() -> None:
    assert election.heard(Ballot(term=4, voted_for="a"), 3) is None
    assert election.heard(Ballot(term=4, voted_for="a"), 4) == Ballot(term=4, voted_for="a")
    assert election.heard(Ballot(term=4, voted_for="a"), 5) == Ballot(term=5)


def test_a_leader_counts_from_the_last_beat_that_a_majority_answered() -> None:
    assert election.confirmed_at([], 1, 50.0) == 50.0
    assert election.confirmed_at([40.0, 45.0], 3, 50.0) == 45.0
    assert election.confirmed_at([40.0, 45.0, 41.0, 49.0], 5, 50.0) == 45.0
    assert election.confirmed_at([], 3, 50.0) == float("-inf")
