"""Where the servers of a test are, as a directory says it."""

import itertools

from millions.directory import CachePlace

epochs = itertools.count(2)
"""Each directory of the one database is newer than all before it."""


def place_of(servers):
    return CachePlace(
        memory_mib=8,
        servers=tuple(each.place for each in servers),
        password_file=str(servers[0].password_file) if servers else "",
    )
