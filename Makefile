# make up     set up what is needed and run the photo-sharing application; prints its address
# make down   stop it (its data stays)
# make test   set up what is needed and run every check
# make check  the same
# make climb  the application's own copy goes from one server to all tiers and back under load; prints the report
# make setup  only set up
# make docs   write the generated pages of docs/reference anew
STACK := examples/photos/millions.toml
.PHONY: up down climb test check setup docs

up:
	@scripts/setup
	@.venv/bin/millions -C $(STACK) up --detach

down:
	@.venv/bin/millions -C $(STACK) down

climb:
	@scripts/setup
	@.venv/bin/python -m millions.cli.climbing.tour examples/photos

test check:
	@scripts/setup --dev
	@scripts/check

setup:
	@scripts/setup --dev

docs:
	@.venv/bin/python scripts/reference.py
