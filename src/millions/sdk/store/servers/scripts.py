"""What servers run, whole or not at all. Each script first looks whether its server still leads.

A key of an application is d:KEY for its document (VERSION:JSON), c:KEY for its counter and z:KEY
for its sorted list. Each write has a place of its own in the order of all: a term and a sequence.
A script that writes answers {term, sequence or 0, result}. The first argument is what its sender
believes: who leads, and the number of the latest change of the store's home. Servers that were told
of a later change refuse, with nothing done; a change is told to a majority, as a write is.
"""

from __future__ import annotations

from millions.sdk.valkey import Script

LEASE = "millions:lease"
TERMS = "millions:terms"
CHANGE = "millions:change"

CHANGED = "CHANGED"
"""How the error begins of servers that know of a later change."""

_LEADS = """
local held = redis.call('MGET', 'millions:lease', 'millions:change')
if held[1] ~= string.match(ARGV[1], '^%S+') then
  return redis.error_reply('NOTLEADER this server does not lead')
end
"""
_IS_HOME = """
if held[1] .. ' ' .. (held[2] or '0') ~= ARGV[1] then
  return redis.error_reply('CHANGED the store has another home')
end
"""
_ORDER = """
local term = redis.call('GET', 'millions:term')
local function wrote() return redis.call('INCR', 'millions:sequence') end
local function version_of(sequence)
  local past = redis.call('GET', 'millions:floor') or '0'
  return string.format('%.0f%012.0f', term + past, sequence)
end
"""
_WRITES = f"""#!lua
{_LEADS}{_IS_HOME}{_ORDER}"""
FREES = _WRITES.replace("#!lua", "#!lua flags=allow-oom")
"""Begins a script that writes and needs no memory for it."""

FREES_ANYWHERE = f"""#!lua flags=allow-oom
{_LEADS}{_ORDER}"""
"""Begins one that asks the servers of whatever change they know."""

READS = f"""#!lua flags=no-writes
{_LEADS}{_IS_HOME}"""
"""Begins one that only reads."""

PUT = Script(
    _WRITES
    + """
local name, text, ttl, wanted = 'd:' .. ARGV[2], ARGV[3], ARGV[4], ARGV[5]
if wanted ~= '' then
  local found = redis.call('GET', name)
  if (found and string.match(found, '^(%d+):') or '0') ~= wanted then return {term, 0, false} end
end
local sequence = wrote()
local version = version_of(sequence)
if ttl == '' then redis.call('SET', name, version .. ':' .. text)
else redis.call('SET', name, version .. ':' .. text, 'PX', ttl) end
return {term, sequence, version}
"""
)

DELETE = Script(
    FREES
    + """
local key = ARGV[2]
local found = redis.call('DEL', 'd:' .. key, 'c:' .. key, 'z:' .. key)
return {term, found > 0 and wrote() or 0, found}
"""
)

DELETE_VERSION = Script(
    FREES
    + """
local name = 'd:' .. ARGV[2]
local found = redis.call('GET', name)
if not found or string.match(found, '^(%d+):') ~= ARGV[3] then return {term, 0, 0} end
redis.call('DEL', name)
return {term, wrote(), 1}
"""
)

INCREMENT = Script(
    _WRITES
    + """
local name, by, ttl = 'c:' .. ARGV[2], ARGV[3], ARGV[4]
local fresh = redis.call('EXISTS', name) == 0
local counted = redis.pcall('INCRBY', name, by)
if type(counted) == 'table' and counted.err then return redis.error_reply(counted.err) end
if fresh and ttl ~= '' then redis.call('PEXPIRE', name, ttl) end
return {term, wrote(), redis.call('GET', name)}
"""
)

ADD = Script(
    _WRITES
    + """
local name = 'z:' .. ARGV[2]
for n = 3, #ARGV, 2 do redis.call('ZADD', name, ARGV[n + 1], ARGV[n]) end
return {term, wrote(), 0}
"""
)

REMOVE = Script(
    FREES
    + """
local name, removed = 'z:' .. ARGV[2], 0
for n = 3, #ARGV do removed = removed + redis.call('ZREM', name, ARGV[n]) end
return {term, removed > 0 and wrote() or 0, removed}
"""
)

TRIM = Script(
    FREES
    + """
local name, keep, most = 'z:' .. ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local surplus = math.min(redis.call('ZCARD', name) - keep, most)
if surplus <= 0 then return {term, 0, 0} end
return {term, wrote(), redis.call('ZREMRANGEBYRANK', name, 0, surplus - 1)}
"""
)

ADD_TO_MANY = Script(
    _WRITES
    + """
local member, score, keep = ARGV[2], ARGV[3], tonumber(ARGV[4])
for n = 5, #ARGV do
  local name = 'z:' .. ARGV[n]
  redis.call('ZADD', name, score, member)
  if keep and redis.call('ZCARD', name) > keep + keep / 8 + 16 then
    redis.call('ZREMRANGEBYRANK', name, 0, -keep - 1)
  end
end
return {term, wrote(), 0}
"""
)

REMOVE_FROM_MANY = Script(
    FREES
    + """
for n = 3, #ARGV do redis.call('ZREM', 'z:' .. ARGV[n], ARGV[2]) end
return {term, wrote(), 0}
"""
)

BARRIER = Script(FREES_ANYWHERE + "return {term, wrote(), 0}")
"""Writes nothing: when it is kept, so is all that was written before it, by whomever."""

RANGE = Script(
    READS
    + """
local name, limit = 'z:' .. ARGV[2], tonumber(ARGV[3])
-- how many members come before a place: those above a score, and of equal score by member
local function before(score, member, itself)
  local least = itself and score or '(' .. score
  if member == '' then return redis.call('ZCOUNT', name, least, '+inf') end
  local low = redis.call('ZCOUNT', name, '(' .. score, '+inf')
  local high = low + redis.call('ZCOUNT', name, score, score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local found = redis.call('ZREVRANGE', name, middle, middle)[1]
    if found > member or (itself and found == member) then low = middle + 1 else high = middle end
  end
  return low
end
local first, past = 0, redis.call('ZCARD', name)
if ARGV[4] ~= '' then first = before(ARGV[4], ARGV[5], true) end
if ARGV[6] ~= '' then past = math.min(past, before(ARGV[6], ARGV[7], false)) end
past = math.min(past, first + limit)
if first >= past then return {} end
return redis.call('ZREVRANGE', name, first, past - 1, 'WITHSCORES')
"""
)
"""Texts are compared byte by byte: servers run with LC_ALL=C."""

SCORE = Script(READS + "return redis.call('ZSCORE', 'z:' .. ARGV[2], ARGV[3])")
SIZE = Script(READS + "return redis.call('ZCARD', 'z:' .. ARGV[2])")

ADOPT = Script(
    _WRITES
    + """
for n = 2, #ARGV, 4 do
  local kind, name, value, past = ARGV[n], ARGV[n + 1], ARGV[n + 2], ARGV[n + 3]
  if kind == 'z' then
    if not redis.call('ZSCORE', name, past) then redis.call('ZADD', name, value, past) end
  elseif past == '' then redis.call('SET', name, value, 'NX')
  else redis.call('SET', name, value, 'NX', 'PX', past) end
end
return {term, wrote(), 0}
"""
)
"""Takes over what there is not yet: of documents and counters value and time left (ms), of lists
score and member."""

ALL = (
    *(PUT, DELETE, DELETE_VERSION, INCREMENT, ADD, REMOVE, TRIM, ADD_TO_MANY, REMOVE_FROM_MANY),
    *(BARRIER, RANGE, SCORE, SIZE, ADOPT),
)
