"""Election: which server of a replicated store may lead, so that nothing acknowledged is lost.

The rules are Raft's (Ongaro and Ousterhout, 2014: §5.2, §5.4.1, and §9.6 of Ongaro's thesis for the
question before the vote). What is replicated and how is the engine's affair: here it is known by a
position, which says everything about what is before it. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Position:
    """How far the data of a server goes: the last term that wrote into it, and its last write."""

    term: int = 0
    sequence: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ballot:
    """What a member must not forget: the highest term it knows, and whom it voted for in it."""

    term: int = 0
    voted_for: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A candidate asks for a vote; with `before` it only asks whether there would be one."""

    term: int
    candidate: str
    position: Position
    before: bool = False


def majority(members: int) -> int:
    """How many members are more than half of them."""
    return members // 2 + 1


def vote(
    ballot: Ballot, question: Question, position: Position, *, bound: bool
) -> tuple[Ballot, bool]:
    """Answer what to remember (on the disk, before the vote is given), and whether to vote.

    `position` is the voter's own, taken after it stopped taking writes from any leader. `bound`
    says that it has promised not to help a new leader yet: then it forgets that it was asked.
    """
    if bound or question.term < ballot.term:
        return ballot, False
    later = question.term > ballot.term
    current = Ballot(term=question.term) if later else ballot
    granted = current.voted_for in ("", question.candidate) and question.position >= position
    if question.before:
        return ballot, granted
    return (replace(current, voted_for=question.candidate) if granted else current), granted


def stand(ballot: Ballot, name: str) -> Ballot:
    """Answer what a member remembers that stands for election: its own vote, in the next term."""
    return Ballot(term=ballot.term + 1, voted_for=name)


def heard(ballot: Ballot, term: int) -> Ballot | None:
    """Answer what to remember when a leader of `term` is heard; None when it is a former one."""
    if term < ballot.term:
        return None
    return ballot if term == ballot.term else Ballot(term=term)


def confirmed_at(answered_at_s: list[float], members: int, now_s: float) -> float:
    """Answer the latest time at which a leader knew that a majority, itself included, followed it.

    `answered_at_s` holds, for each other member, when the beat was sent that it answered last; in
    seconds of any one clock. It counts itself as of `now_s`.
    """
    latest = sorted([now_s, *answered_at_s], reverse=True)
    needed = majority(members)
    return latest[needed - 1] if len(latest) >= needed else float("-inf")
