"""What servers run when the store gets another home: they refuse others, and give all they have.

A change has a number, higher than that of every change before. Servers that were told of it refuse
whoever knows of an earlier one only, so that what is on them stays as it is while it is taken away.
"""

from __future__ import annotations

from millions.sdk.store.servers import scripts
from millions.sdk.valkey import Script

GIVEN_BYTES = 4 << 20
"""One answer has hardly more than this, so that a server answers others in between."""

TURN = Script(
    scripts.FREES_ANYWHERE
    + """
if tonumber(held[2] or '0') > tonumber(ARGV[2]) then return {term, 0, false} end
redis.call('SET', 'millions:change', ARGV[2])
if tonumber(ARGV[3]) > tonumber(redis.call('GET', 'millions:floor') or '0') then
  redis.call('SET', 'millions:floor', ARGV[3])
end
local sequence = wrote()
return {term, sequence, version_of(sequence)}
"""
)
"""Takes a number from now on, unless there is a higher one. Versions begin above `floor` terms; the
answer is above every version that was given out."""

GIVE = Script(
    scripts.READS
    + f"""
local given, bytes = {{}}, 0
for n = 2, #ARGV do
  local document, count = redis.call('GET', 'd:' .. ARGV[n]), redis.call('GET', 'c:' .. ARGV[n])
  given[n - 1] = {{
    document, redis.call('PTTL', 'd:' .. ARGV[n]),
    count, redis.call('PTTL', 'c:' .. ARGV[n]),
    redis.call('ZCARD', 'z:' .. ARGV[n]),
  }}
  bytes = bytes + #(document or '')
  if bytes > {GIVEN_BYTES} then break end
end
return given
"""
)
ITEMS = Script(
    scripts.READS + "return redis.call('ZRANGE', 'z:' .. ARGV[2], ARGV[3], ARGV[4], 'WITHSCORES')"
)
NAMES = Script(
    scripts.READS
    + """
local found = redis.call('SCAN', ARGV[2], 'COUNT', ARGV[3])
local names = {}
for _, name in ipairs(found[2]) do
  if string.match(name, '^[dcz]:') then names[#names + 1] = name end
end
return {redis.call('GET', 'millions:term'), found[1], redis.call('DBSIZE'), names}
"""
)
FORGET = Script(
    scripts.FREES
    + """
for n = 2, #ARGV do redis.call('UNLINK', 'd:' .. ARGV[n], 'c:' .. ARGV[n], 'z:' .. ARGV[n]) end
return {term, wrote(), 0}
"""
)
ALL = (TURN, GIVE, ITEMS, NAMES, FORGET)
