"""A photo-sharing application on nothing but the public SDK of Millions.

It runs unchanged on every rung. Start reading at `models.py` (what is kept, and by which shard
key), then `library.py` (publishing a picture) and `feed.py` (who gets to see it).
"""
