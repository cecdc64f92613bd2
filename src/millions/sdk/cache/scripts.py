"""Scripts: what a cache server does in one step. Texts, and the names of keys; nothing is sent.

A name may be that of an entry (`e:`) and of a tag (`g:`, its stamp); `l:` holds the lease of who
loads an entry; `d:` says of an invalidation that it was done here.
"""

from __future__ import annotations

from millions.sdk.valkey import Script

FOUND, LEASED, WAIT = 0, 1, 2
"""What `LEASE` answers first: an entry and the stamps of its tags, or a lease and these stamps, or
how many milliseconds another's lease still runs."""

ANY, ANEW, MINE = "0", "1", "2"
"""What `LEASE` is asked for: an entry or the lease; the lease alone; the lease whosever it is."""

DONE_MS = 90_000
"""How long a server remembers an invalidation, so that the tenth who brings it drops nothing.
Longer than the ledger keeps one."""

LEASE = Script(f"""
if ARGV[3] == '{ANY}' then
  local entry = redis.call('GET', KEYS[1])
  if entry then
    local answer = {{{FOUND}, entry}}
    for i = 3, #KEYS do answer[#answer + 1] = redis.call('GET', KEYS[i]) end
    return answer
  end
end
if ARGV[3] == '{MINE}' then
  redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
elseif not redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then
  return {{{WAIT}, redis.call('PTTL', KEYS[2])}}
end
local answer = {{{LEASED}}}
for i = 3, #KEYS do
  local stamp = redis.call('GET', KEYS[i])
  if not stamp then
    stamp = ARGV[1]
    redis.call('SET', KEYS[i], stamp)
  end
  answer[#answer + 1] = stamp
end
return answer
""")
"""Keys: entry, lease, stamps of tags. Arguments: token, milliseconds, what is asked for."""

RENEW = Script("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
""")
"""Key: lease. Arguments: token, milliseconds."""

FILL = Script("""
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2])
if ARGV[3] == '0' then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
""")
"""Keys: entry, lease. Arguments: token, bytes, milliseconds; 0 gives the lease back. An
invalidation takes the lease away, so that what was read before it is never stored."""

FORGET = Script(f"""
if #KEYS == 1 then
  if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
end
for i = 1, #ARGV do
  redis.call('DEL', 'e:' .. ARGV[i], 'l:' .. ARGV[i], 'g:' .. ARGV[i])
end
if #KEYS == 1 then redis.call('SET', KEYS[1], '', 'PX', {DONE_MS}) end
return 1
""")
"""Key: the mark of an invalidation that is known to be committed, if it has one: done once, it is
not done again. Arguments: names."""

ALL = (LEASE, RENEW, FILL, FORGET)

NAMES_MAX = 1000
"""Names in one call: a script that runs for long keeps everybody else waiting."""


def entry(name: str) -> bytes:
    """The key of an entry."""
    return b"e:" + name.encode()


def lease(name: str) -> bytes:
    """The key of the lease of who loads an entry."""
    return b"l:" + name.encode()


def stamp(tag: str) -> bytes:
    """The key of a tag's stamp."""
    return b"g:" + tag.encode()


def done(invalidation: str, part: int) -> bytes:
    """The key that says that a part of an invalidation was done."""
    return f"d:{invalidation}:{part}".encode()
