"""Member: one keeper's part in the agreement on who leads: it votes, follows, stands, and leads.

What is right to do is said by `reconcile.election`; here it is done, in an order that bears a crash
at any point. Before a vote its server takes writes from nobody any more, so that a former
leader can get nothing acknowledged by a majority that elects another one.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Any

from millions.reconcile.election import (
    Ballot,
    Position,
    Question,
    confirmed_at,
    heard,
    majority,
    stand,
    vote,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from millions.directory import Endpoint
    from millions.programs.keeper.ballots import Ballots
    from millions.programs.keeper.engine import Engine
    from millions.programs.keeper.talk import Peer, Said

BEAT_S = 0.25
LEASE_S = 1.0
"""A leader is read from for this long after a majority followed it."""

QUIET_S = 1.2
"""A member that heard a leader helps no other one for so long: more than `LEASE_S`, so that nobody
reads from a former leader what a newer one has changed."""

SPREAD_S = 0.4
"""Members stand for election at times that differ by chance by up to this."""

AFTER_LOSS_S = (0.05, 0.35)
AFTER_LEADER_IS_GONE_S = 0.1
VOTE_WITHIN_S = 0.6
BEAT_WITHIN_S = 0.6
KEPT_WITHIN_MS = 100
RENEW_EVERY_S = 0.2


class Member:
    """One of the servers of a store. `leads` is the term in which it leads; None: it does not."""

    def __init__(
        self,
        name: str,
        engine: Engine,
        ballots: Ballots,
        *,
        places: Mapping[str, Endpoint],
        others: Mapping[str, Peer],
    ) -> None:
        self.name = name
        self.leads: int | None = None
        self.readable_until_s = 0.0
        self.leader = ""
        self._engine = engine
        self._ballots = ballots
        self._places = places
        self._others = others
        self._turn = asyncio.Lock()
        self._answered_at_s: dict[str, float] = {}
        self._committed = False
        now_s = time.monotonic()
        fresh = ballots.current == Ballot()
        self._bound_until_s = 0.0 if fresh else now_s + QUIET_S  # it may have promised before
        self._stand_at_s = self._bound_until_s + random.uniform(0, SPREAD_S)  # noqa: S311

    @property
    def hears_leader(self) -> bool:
        """Whether it follows a leader that is heard."""
        return self.leads is None and time.monotonic() < self._bound_until_s and bool(self.leader)

    async def answer(self, said: Said) -> Said:
        """Answer another member. Raise AwayError when the own server does not answer."""
        async with self._turn:
            if said["kind"] == "beat":
                return await self._followed(int(said["term"]), str(said["name"]))
            if said["kind"] == "gone":
                return self._forgot(int(said["term"]), str(said["name"]))
            return await self._voted(_question(said))

    async def step(self) -> None:
        """Do what is due. Raise AwayError when the own server does not answer."""
        if self.leads is not None:
            await self._keep_leading(self.leads)
        elif time.monotonic() >= self._stand_at_s:
            await self._campaign()

    async def beat(self, name: str) -> None:
        """Tell another member, if this one leads, that it does."""
        term, sent_at_s = self.leads, time.monotonic()
        if term is None:
            return
        question = {"kind": "beat", "term": term, "name": self.name}
        said = await self._others[name].ask(question, within_s=BEAT_WITHIN_S)
        if said is None:
            return
        if said["ok"] and self.leads == term:
            self._answered_at_s[name] = sent_at_s
        elif int(said["term"]) > term:
            async with self._turn:
                await self._learn(int(said["term"]))

    async def retire(self) -> None:
        """Lead no more, and let the others know."""
        async with self._turn:
            await self._end_leading()
        await self.say_gone()

    async def say_gone(self) -> None:
        """Let the others know that nothing is read here any more: they need not wait."""
        question = {"kind": "gone", "term": self._ballots.current.term, "name": self.name}
        await asyncio.gather(*(peer.ask(question) for peer in self._others.values()))

    async def _followed(self, term: int, name: str) -> Said:
        ballot = heard(self._ballots.current, term)
        if ballot is None:
            return {"ok": False, "term": self._ballots.current.term}
        now_s = time.monotonic()
        self._ballots.keep(ballot)
        await self._end_leading()
        self.leader = name
        self._bound_until_s = now_s + QUIET_S
        self._stand_at_s = self._bound_until_s + random.uniform(0, SPREAD_S)  # noqa: S311
        await self._engine.follow(self._places[name])
        return {"ok": True, "term": term}

    def _forgot(self, term: int, name: str) -> Said:
        if name == self.leader and term >= self._ballots.current.term:
            self.leader = ""
            self._bound_until_s = 0.0
            pause_s = random.uniform(0, AFTER_LEADER_IS_GONE_S)  # noqa: S311  # no secret
            self._stand_at_s = time.monotonic() + pause_s
        return {"ok": True}

    async def _voted(self, question: Question) -> Said:
        bound = self._is_bound()
        if not question.before and not bound and question.term >= self._ballots.current.term:
            await self._end_leading()
            await self._engine.fence()
        position = await self._engine.position()
        ballot, granted = vote(self._ballots.current, question, position, bound=bound)
        self._ballots.keep(ballot)
        if granted and not question.before:
            self.leader = ""
            self._stand_at_s = time.monotonic() + QUIET_S + random.uniform(0, SPREAD_S)  # noqa: S311
        return {"ok": granted, "term": ballot.term}

    async def _campaign(self) -> None:
        """Stand for election, if a majority would vote for this member."""
        now_s = time.monotonic()
        self._stand_at_s = now_s + random.uniform(*AFTER_LOSS_S)  # noqa: S311  # no secret
        term, position = self._ballots.current.term + 1, await self._engine.position()
        if not await self._elected(
            Question(term=term, candidate=self.name, position=position, before=True)
        ):
            return
        async with self._turn:
            if self._is_bound() or self._ballots.current.term >= term:
                return
            await self._engine.fence()
            self._ballots.keep(stand(self._ballots.current, self.name))
            position = await self._engine.position()
        if not await self._elected(Question(term=term, candidate=self.name, position=position)):
            return
        async with self._turn:
            if self._ballots.current != Ballot(term=term, voted_for=self.name):
                return
            await self._engine.lead(term)
            self._answered_at_s.clear()
            self._committed = False
            self.readable_until_s = 0.0
            self.leader, self.leads = self.name, term
        print(f"leads term {term} from {position}", flush=True)  # noqa: T201  # its log

    async def _elected(self, question: Question) -> bool:
        """Whether a majority votes for the candidate, itself included; as soon as that is known."""
        said = {
            "kind": "vote",
            "term": question.term,
            "name": question.candidate,
            "position": [question.position.term, question.position.sequence],
            "before": question.before,
        }
        asked = [
            asyncio.ensure_future(peer.ask(said, within_s=VOTE_WITHIN_S))
            for peer in self._others.values()
        ]
        votes, needed = 1, majority(len(self._places))
        try:
            for answer in asyncio.as_completed(asked):
                if votes >= needed:
                    break
                found = await answer
                if found is not None and found["ok"]:
                    votes += 1
                elif found is not None and int(found["term"]) > self._ballots.current.term:
                    async with self._turn:
                        await self._learn(int(found["term"]))
            return votes >= needed
        finally:
            for each in asked:
                each.cancel()

    async def _keep_leading(self, term: int) -> None:
        """Let clients read here for as long as a majority follows."""
        others = majority(len(self._places)) - 1
        if not self._committed:
            self._committed = await self._engine.kept_by(others, KEPT_WITHIN_MS)
            return
        now_s = time.monotonic()
        latest = confirmed_at(list(self._answered_at_s.values()), len(self._places), now_s)
        until_s = latest + LEASE_S
        if until_s - self.readable_until_s >= RENEW_EVERY_S and until_s > now_s:
            left_s = until_s - time.monotonic()
            await self._engine.renew(term, int((time.time() + left_s) * 1000))
            self.readable_until_s = until_s

    async def _learn(self, term: int) -> None:
        """Take note of a later term; whoever leads in an earlier one leads no more."""
        ballot = heard(self._ballots.current, term)
        if ballot is not None and ballot != self._ballots.current:
            await self._end_leading()
            self._ballots.keep(ballot)

    async def _end_leading(self) -> None:
        if self.leads is not None:
            print(f"leads term {self.leads} no more", flush=True)  # noqa: T201  # its log
            self.leads, self.leader, self.readable_until_s = None, "", 0.0
            await self._engine.fence()

    def _is_bound(self) -> bool:
        now_s = time.monotonic()
        if self.leads is None:
            return now_s < self._bound_until_s
        answered = list(self._answered_at_s.values())
        return now_s < confirmed_at(answered, len(self._places), now_s) + QUIET_S


def _question(said: dict[str, Any]) -> Question:
    term, sequence = said["position"]
    return Question(
        term=int(said["term"]),
        candidate=str(said["name"]),
        position=Position(term=int(term), sequence=int(sequence)),
        before=bool(said["before"]),
    )
