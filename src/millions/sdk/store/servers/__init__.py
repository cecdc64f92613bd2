"""The distributed form of the store: Valkey servers of which a majority keeps every write."""
